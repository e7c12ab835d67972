from __future__ import annotations

import dataclasses
import time
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.tokens.policy import TokenPolicy
from accounts.tokens.reasons import Reason
from accounts.tokens.store import JwksStore
from accounts.tokens.verify import TokenVerifier
from gateway_core.errors import TokenRejected
from tests.accounts.key_server import KeyServer
from tests.accounts.mint import ABSENT, ISSUER, POLICY, SECRET, Signer, new_signer, shared_token


def with_policy(store: JwksStore | None, **changes: Any) -> TokenVerifier:
    return TokenVerifier(policy=dataclasses.replace(POLICY, **changes), store=store)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
async def test_accepts_each_algorithm_that_supabase_offers(
    algorithm: str, verifier: TokenVerifier, key_server: KeyServer
) -> None:
    signer = new_signer(algorithm)
    key_server.publish(signer)
    user_id, session_id = uuid4(), uuid4()
    token = signer.token(sub=str(user_id), session_id=str(session_id), aal="aal2")
    claims = await verifier.averify(token)
    assert (claims.user_id, claims.session_id) == (user_id, session_id)
    assert (claims.email, claims.role, claims.assurance) == (
        "alice@example.com",
        "authenticated",
        "aal2",
    )
    assert (claims.is_anonymous, claims.client_id) == (False, "")
    assert verifier.verify(token) == claims


@pytest.mark.parametrize("algorithm", ["ES384", "ES512", "RS384", "RS512", "PS256", "PS512"])
def test_accepts_other_algorithms_where_they_are_configured(
    algorithm: str, store: JwksStore, key_server: KeyServer
) -> None:
    signer = new_signer(algorithm)
    key_server.publish(signer)
    token = signer.token()
    with pytest.raises(TokenRejected, match="algorithm"):
        with_policy(store).verify(token)
    assert with_policy(store, algorithms=frozenset({algorithm})).verify(token)


@pytest.mark.parametrize("header", [None, {"kid": "shared-signing-key"}])
async def test_accepts_a_shared_secret_while_it_is_rotated(header: dict[str, Any] | None) -> None:
    secrets = (b"the-new-secret-of-the-project-000001", SECRET.encode())
    verifier = with_policy(None, secrets=secrets)
    for secret in secrets:
        token = shared_token(secret.decode(), header=header)
        assert await verifier.averify(token) == verifier.verify(token)
    with pytest.raises(TokenRejected, match="signature"):
        verifier.verify(shared_token("another-secret-that-nobody-configured"))


def test_accepts_both_kinds_while_a_project_moves_to_published_keys(
    store: JwksStore, signer: Signer
) -> None:
    verifier = with_policy(store, secrets=(SECRET.encode(),))
    assert verifier.verify(signer.token())
    assert verifier.verify(shared_token())


def test_trusts_a_shared_secret_until_it_is_no_longer_configured() -> None:
    claims = with_policy(None, secrets=(SECRET.encode(),)).verify(shared_token())
    assert with_policy(None, secrets=(SECRET.encode(),)).trusts(claims.key)
    assert not with_policy(None).trusts(claims.key)


@pytest.mark.parametrize("issuer", [ISSUER, "https://project.supabase.test"])
def test_accepts_every_issuer_of_the_list(issuer: str, store: JwksStore, signer: Signer) -> None:
    issuers = frozenset({ISSUER, "https://project.supabase.test"})
    assert with_policy(store, issuers=issuers).verify(signer.token(iss=issuer))


@pytest.mark.parametrize("issuer", [ABSENT, "https://elsewhere.test", 7])
def test_accepts_any_issuer_where_none_is_configured(
    issuer: object, store: JwksStore, signer: Signer
) -> None:
    assert with_policy(store, issuers=frozenset()).verify(signer.token(iss=issuer))


@pytest.mark.parametrize("audience", ["authenticated", ["other", "authenticated"]])
def test_accepts_an_audience_by_itself_or_in_a_list(
    audience: object, verifier: TokenVerifier, signer: Signer
) -> None:
    assert verifier.verify(signer.token(aud=audience))


def test_accepts_what_old_servers_and_hooks_leave_out(
    verifier: TokenVerifier, signer: Signer
) -> None:
    names = ("iat", "email", "phone", "app_metadata", "user_metadata", "amr", "is_anonymous", "aal")
    absent: dict[str, Any] = dict.fromkeys(names, ABSENT)
    claims = verifier.verify(signer.token(**absent))
    assert (claims.email, claims.assurance, claims.is_anonymous) == ("", "aal1", False)
    assert claims.issued_at == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize("name", ["exp", "iat"])
def test_accepts_clocks_that_differ_by_less_than_the_leeway(
    name: str, verifier: TokenVerifier, signer: Signer
) -> None:
    now = time.time()
    times: dict[str, Any] = {
        "exp": {"exp": now - 20, "iat": now - 99},
        "iat": {"exp": now + 99, "iat": now + 20},
    }
    assert verifier.verify(signer.token(**times[name]))


def test_reads_the_time_from_the_clock_it_is_given(store: JwksStore, signer: Signer) -> None:
    token = signer.token(exp=1_000_000, iat=999_000)
    at = [999_500.0]
    verifier = TokenVerifier(policy=POLICY, store=store, clock=lambda: at[0])
    assert verifier.verify(token).expires_at == 1_000_000
    at[0] = 1_000_029.0
    assert verifier.verify(token)
    at[0] = 1_000_030.0
    with pytest.raises(TokenRejected) as refusal:
        verifier.verify(token)
    assert refusal.value.detail == Reason.EXPIRED


def test_never_takes_privileges_from_what_users_can_write(
    verifier: TokenVerifier, signer: Signer
) -> None:
    me = uuid4()
    metadata = {"sub": str(uuid4()), "role": "service_role", "is_staff": True, "email": "x@y.z"}
    claims = verifier.verify(signer.token(sub=str(me), user_metadata=metadata))
    assert (claims.user_id, claims.email) == (me, "alice@example.com")


def test_shows_no_secret_when_the_policy_is_printed() -> None:
    assert SECRET not in repr(TokenPolicy(secrets=(SECRET.encode(),)))


def test_reads_ids_in_upper_case_as_the_same_user(verifier: TokenVerifier, signer: Signer) -> None:
    me = uuid4()
    claims = verifier.verify(signer.token(sub=str(me).upper()))
    assert claims.user_id == UUID(int=me.int)
