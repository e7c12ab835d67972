from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts import services
from accounts.models import User
from gateway_core import context
from tests.accounts.key_server import KeyServer
from tests.accounts.mint import Signer, new_signer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sign_in_service")]


def me(token: bytes | None = None, **headers: str) -> tuple[HttpResponse, dict[str, Any]]:
    if token is not None:
        headers["authorization"] = f"Bearer {token.decode()}"
    answer: Any = Client().get("/api/v1/me", headers=headers)
    return answer, answer.json()


def refused(answer: HttpResponse, status: int, code: str) -> None:
    problem = answer.json()  # type: ignore[attr-defined]
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert answer["content-type"] == "application/problem+json"


def test_tells_users_about_themselves(signer: Signer) -> None:
    user_id = uuid4()
    answer, body = me(signer.token(sub=str(user_id)))
    user = User.objects.get()
    assert answer.status_code == 200
    identity = {
        "id": str(user_id),
        "email": "alice@example.com",
        "display_name": "",
        "is_anonymous": False,
        "created_at": user.created_at.isoformat().replace("+00:00", "Z"),
    }
    assert identity.items() <= body.items()
    assert body.keys() - identity.keys() == {"preferences", "limits", "holdings"}


def test_tells_each_user_only_about_themselves(signer: Signer) -> None:
    alice, bob = (signer.token(email=f"{name}@example.com") for name in ("alice", "bob"))
    assert [me(token)[1]["email"] for token in (alice, bob, alice)] == [
        "alice@example.com",
        "bob@example.com",
        "alice@example.com",
    ]


def test_takes_the_scheme_in_any_case(signer: Signer) -> None:
    answer, _ = me(authorization=f"bearer {signer.token().decode()}")
    assert answer.status_code == 200


def test_asks_for_a_token_when_there_is_none() -> None:
    answer, _ = me()
    refused(answer, 401, "caller_token_missing")
    assert answer["www-authenticate"] == 'Bearer realm="gateway"'


@pytest.mark.parametrize(
    "header", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer a b", "Bearer nonsense"]
)
def test_refuses_a_header_that_is_no_token(header: str) -> None:
    answer, _ = me(authorization=header)
    refused(answer, 401, "caller_token_invalid")
    assert 'error="invalid_token"' in answer["www-authenticate"]


def test_refuses_a_forged_and_an_expired_token(signer: Signer) -> None:
    answer, _ = me(new_signer(kid=signer.kid).token())
    refused(answer, 401, "caller_token_invalid")
    answer, body = me(signer.token(exp=1_700_000_000, iat=1_699_999_000))
    refused(answer, 401, "caller_token_expired")
    assert "Refresh the session" in body["detail"]
    assert "Refresh the session" in answer["www-authenticate"]


def test_takes_no_token_from_a_cookie_or_the_address(signer: Signer) -> None:
    token = signer.token().decode()
    client = Client()
    client.cookies["sb-project-auth-token"] = token
    answer: Any = client.get(f"/api/v1/me?access_token={token}")
    refused(answer, 401, "caller_token_missing")


def test_makes_nobody_staff_by_a_claim(signer: Signer) -> None:
    me(signer.token(is_staff=True, app_metadata={"is_staff": True, "role": "service_role"}))
    user = User.objects.get()
    assert (user.is_staff, user.is_superuser) == (False, False)


@pytest.mark.django_db(transaction=True)
def test_shuts_out_a_suspended_user(signer: Signer) -> None:
    token = signer.token()
    me(token)
    staff = User.objects.create_superuser("root")
    user = User.objects.exclude(pk=staff.pk).get()
    services.suspend_user(user_id=user.pk, by=staff)
    refused(me(token)[0], 403, "policy_account_suspended")
    services.resume_user(user_id=user.pk, by=staff)
    assert me(token)[0].status_code == 200


def test_shuts_out_a_user_suspended_by_a_process_that_could_not_tell(signer: Signer) -> None:
    token = signer.token()
    me(token)
    User.objects.update(is_active=False)
    refused(me(token)[0], 403, "policy_account_suspended")


def test_refuses_the_token_of_an_account_that_is_gone(signer: Signer) -> None:
    token = signer.token()
    me(token)
    User.objects.all().delete()
    refused(me(token)[0], 401, "caller_token_revoked")


def test_says_try_again_while_the_key_server_is_down(
    signer: Signer, sign_in_service: KeyServer
) -> None:
    sign_in_service.status = 500
    answer, body = me(signer.token())
    refused(answer, 503, "gateway_keys_unavailable")
    assert int(answer["retry-after"]) >= 1
    assert body["retryable"] is True


def test_says_try_again_while_the_database_is_down(signer: Signer, database_down: None) -> None:
    del database_down
    answer, _ = me(signer.token())
    refused(answer, 503, "gateway_database_unavailable")


@pytest.mark.django_db(transaction=True)
def test_says_try_again_when_the_database_goes_down_after_the_token_was_known(
    signer: Signer, request: pytest.FixtureRequest
) -> None:
    token = signer.token()
    me(token)
    request.getfixturevalue("database_down")
    refused(me(token)[0], 503, "gateway_database_unavailable")


@pytest.mark.parametrize("method", ["post", "put"])
def test_offers_no_other_method(method: str, signer: Signer) -> None:
    headers = {"authorization": f"Bearer {signer.token().decode()}"}
    answer = getattr(Client(), method)("/api/v1/me", headers=headers)
    refused(answer, 405, "caller_method_not_allowed")


def test_tells_the_log_who_it_was(signer: Signer) -> None:
    user_id = uuid4()
    record = context.begin({"headers": [], "path": "/api/v1/me", "method": "GET"})
    try:
        me(signer.token(sub=str(user_id)))
    finally:
        context.current.set(None)
    assert record.user_id == str(user_id)
