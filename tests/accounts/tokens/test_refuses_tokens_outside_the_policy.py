from __future__ import annotations

import dataclasses
import time
from typing import Any
from uuid import uuid4

import pytest

from accounts.tokens.bearer import bearer_token
from accounts.tokens.reasons import Reason
from accounts.tokens.store import JwksStore
from accounts.tokens.verify import TokenVerifier
from gateway_core.errors import Code, TokenRejected
from tests.accounts.key_server import KeyServer
from tests.accounts.mint import ABSENT, POLICY, SECRET, Signer, new_signer, shared_token


def refusal(verifier: TokenVerifier, token: bytes) -> TokenRejected:
    with pytest.raises(TokenRejected) as caught:
        verifier.verify(token)
    return caught.value


def day(days: float) -> float:
    return time.time() + days * 86400


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": lambda: day(-0.1), "iat": lambda: day(-0.2)}, Reason.EXPIRED),
        ({"exp": lambda: time.time() - 31, "iat": lambda: day(-0.2)}, Reason.EXPIRED),
        ({"iat": lambda: time.time() + 60}, Reason.NOT_YET_VALID),
        ({"nbf": lambda: time.time() + 60}, Reason.NOT_YET_VALID),
        ({"exp": lambda: day(3650)}, Reason.LIFETIME),
        ({"exp": lambda: day(7.1)}, Reason.LIFETIME),
        ({"exp": lambda: day(8), "iat": ABSENT}, Reason.LIFETIME),
        ({"aud": "anon"}, Reason.AUDIENCE),
        ({"aud": []}, Reason.AUDIENCE),
        ({"aud": ["Authenticated"]}, Reason.AUDIENCE),
        ({"iss": "https://project.supabase.test/auth/v1/"}, Reason.ISSUER),
        ({"iss": "https://project.supabase.test"}, Reason.ISSUER),
        ({"iss": "HTTPS://PROJECT.SUPABASE.TEST/AUTH/V1"}, Reason.ISSUER),
        ({"role": "admin"}, Reason.ROLE),
        ({"role": ""}, Reason.ROLE),
        ({"role": "anon", "sub": ABSENT}, Reason.SUPABASE_KEY),
        ({"role": "service_role"}, Reason.SUPABASE_KEY),
        ({"client_id": "a-third-party"}, Reason.OAUTH_CLIENT),
    ],
)
def test_refuses_a_well_signed_token_for_a_stated_reason(
    changes: dict[str, Any], reason: Reason, verifier: TokenVerifier, signer: Signer
) -> None:
    claims = {name: value() if callable(value) else value for name, value in changes.items()}
    error = refusal(verifier, signer.token(**claims))
    assert error.detail == reason
    expected = Code.CALLER_TOKEN_EXPIRED if reason is Reason.EXPIRED else Code.CALLER_TOKEN_INVALID
    assert (error.code, error.status) == (expected, 401)


@pytest.mark.parametrize("name", ["exp", "sub", "aud", "role", "session_id", "iss"])
@pytest.mark.parametrize("value", [ABSENT, None, {}, 7.5, [7], True])
def test_refuses_a_token_whose_required_claim_is_no_good(
    name: str, value: object, verifier: TokenVerifier, signer: Signer
) -> None:
    changes: dict[str, Any] = {name: "soon" if name == "exp" and value == 7.5 else value}
    assert refusal(verifier, signer.token(**changes)).code == Code.CALLER_TOKEN_INVALID


@pytest.mark.parametrize("name", ["sub", "session_id"])
@pytest.mark.parametrize("spelling", ["{%s}", "urn:uuid:%s", "%.8s", " %s", "%s\n", "%s\0", "1"])
def test_refuses_ids_in_any_second_spelling(
    name: str, spelling: str, verifier: TokenVerifier, signer: Signer
) -> None:
    changes: dict[str, Any] = {name: spelling % uuid4() if "%" in spelling else spelling}
    assert refusal(verifier, signer.token(**changes)).detail == Reason.CLAIMS_MALFORMED


def test_refuses_ids_without_hyphens(verifier: TokenVerifier, signer: Signer) -> None:
    assert refusal(verifier, signer.token(sub=uuid4().hex)).detail == Reason.CLAIMS_MALFORMED


@pytest.mark.parametrize(
    "changes",
    [
        {"email": 7},
        {"email": "a" * 321},
        {"email": "a\0@example.com"},
        {"email": "a\n@example.com"},
        {"is_anonymous": "false"},
        {"is_anonymous": None},
        {"is_anonymous": 0},
        {"client_id": 7},
        {"aal": []},
        {"nbf": "now"},
        {"iat": "now"},
        {"iat": None},
    ],
    ids=str,
)
def test_refuses_a_token_whose_optional_claim_is_malformed(
    changes: dict[str, Any], verifier: TokenVerifier, signer: Signer
) -> None:
    assert refusal(verifier, signer.token(**changes)).detail == Reason.CLAIMS_MALFORMED


def test_admits_anonymous_users_only_where_they_are_wanted(
    store: JwksStore, signer: Signer
) -> None:
    token = signer.token(is_anonymous=True, email="")
    welcome = TokenVerifier(policy=POLICY, store=store)
    assert welcome.verify(token).is_anonymous
    strict = dataclasses.replace(POLICY, allow_anonymous=False)
    error = refusal(TokenVerifier(policy=strict, store=store), token)
    assert error.detail == Reason.ANONYMOUS


def test_admits_oauth_clients_only_where_they_are_wanted(store: JwksStore, signer: Signer) -> None:
    token = signer.token(client_id="a-third-party", scope="openid email")
    wide = dataclasses.replace(POLICY, allow_oauth_clients=True)
    claims = TokenVerifier(policy=wide, store=store).verify(token)
    assert claims.client_id == "a-third-party"


@pytest.mark.parametrize("key", [b"sb_publishable_abc_12345678", b"sb_secret_abc_12345678"])
def test_says_what_to_send_instead_of_a_supabase_key(key: bytes, verifier: TokenVerifier) -> None:
    error = refusal(verifier, key)
    assert error.detail == Reason.SUPABASE_KEY
    assert key.decode() not in str(error)


@pytest.mark.parametrize("role", ["anon", "service_role"])
def test_refuses_legacy_api_keys_signed_with_the_users_own_secret(role: str) -> None:
    policy = dataclasses.replace(POLICY, secrets=(SECRET.encode(),), issuers=frozenset())
    key = shared_token(
        role=role, iss="supabase", exp=day(3650), sub=ABSENT, aud=ABSENT, session_id=ABSENT
    )
    assert refusal(TokenVerifier(policy=policy, store=None), key).detail == Reason.SUPABASE_KEY


def test_refuses_hs256_where_no_secret_is_configured(verifier: TokenVerifier) -> None:
    assert refusal(verifier, shared_token()).detail == Reason.ALGORITHM


def test_refuses_published_keys_where_none_are_configured() -> None:
    policy = dataclasses.replace(POLICY, secrets=(SECRET.encode(),))
    verifier = TokenVerifier(policy=policy, store=None)
    assert refusal(verifier, new_signer().token()).detail == Reason.ALGORITHM


def test_refuses_a_token_that_is_too_long_to_look_at(
    verifier: TokenVerifier, signer: Signer
) -> None:
    token = signer.token(user_metadata={"biography": "x" * 6200})
    assert len(token) > 8192
    assert refusal(verifier, token).detail == Reason.TOO_LONG


def test_asks_nobody_about_a_kid_that_is_too_long(
    verifier: TokenVerifier, signer: Signer, key_server: KeyServer
) -> None:
    token = signer.token(header={"kid": "k" * 201})
    assert refusal(verifier, token).detail == Reason.HEADER_UNSUPPORTED
    assert key_server.requests == []


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, Reason.MISSING),
        (b"", Reason.MISSING),
        (b"Bearer", Reason.HEADER_MALFORMED),
        (b"Bearer ", Reason.HEADER_MALFORMED),
        (b"Bearer a b", Reason.HEADER_MALFORMED),
        (b"Basic dXNlcjpwYXNz", Reason.HEADER_MALFORMED),
        (b"bearer\ttoken", Reason.HEADER_MALFORMED),
        (b"Token abc", Reason.HEADER_MALFORMED),
    ],
)
def test_refuses_a_header_without_a_bearer_token(header: bytes | None, reason: Reason) -> None:
    with pytest.raises(TokenRejected) as caught:
        bearer_token(header)
    assert caught.value.detail == reason


@pytest.mark.parametrize("header", [b"Bearer abc", b"bearer abc", b"BEARER  abc "])
def test_reads_a_bearer_token_in_any_case(header: bytes) -> None:
    assert bearer_token(header) == b"abc"


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_fits_into_a_header_and_an_answer(reason: Reason) -> None:
    assert reason.isascii()
    assert not set('"\\\r\n') & set(reason)
