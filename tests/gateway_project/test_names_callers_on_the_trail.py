from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest
from pytest_django import Settings

from accounts.models import User
from accounts.sessions.models import Denial, DenialReason
from gateway_core.context import RequestRecord
from tests.gateway_project.trail import kept
from tests.gateway_project.waiting import sent

ME = "/api/v1/me"
LETTA = "/api/v1/letta/v1/agents/"
MODELS = "/api/v1/llm/models"
AGENT = {"model": "openai-proxy/stub-chat", "embedding": "openai/text-embedding-3-small"}


def test_says_who_left_before_the_answer(
    client_for: Callable[[str], httpx.Client],
    gateway: str,
    ended: Callable[[str], RequestRecord],
    caller_id: str,
) -> None:
    alice = client_for("alice@example.com")
    user_id = alice.get(ME).json()["id"]
    fields = (
        f"Authorization: {alice.headers['authorization']}",
        f"X-Request-Id: {caller_id}",
        "Content-Type: application/json",
        "Content-Length: 9",
    )
    with sent(gateway, "/api/v1/agents", *fields, body=b"{"):
        pass

    assert ended(caller_id).status == 499
    (event,) = kept(caller_id)
    assert (event.status, event.code, str(event.user_id)) == (499, "caller_gone", user_id)


@pytest.mark.parametrize("path", [ME, "/api/v1/llm/models"])
@pytest.mark.parametrize("how", ["suspended", "denied"])
def test_says_who_was_shut_out_and_not_too_often(
    client_for: Callable[[str], httpx.Client],
    caller_id: str,
    path: str,
    how: str,
    settings: Settings,
) -> None:
    settings.ENABLE_RATE_LIMITING = True
    email = f"{uuid4().hex}@example.com"
    user_id = client_for(email).get(ME).json()["id"]
    if how == "suspended":
        User.objects.filter(pk=user_id).update(is_active=False)
    else:
        Denial.objects.create(user_id=user_id, reason=DenialReason.BANNED)
    again = client_for(email)  # with a token that nobody remembers yet

    answers = [again.get(path, headers={"x-request-id": caller_id}) for _ in range(62)]

    assert answers[0].json()["code"] == "policy_account_suspended"
    assert [answer.status_code for answer in answers] == [*[403] * 60, 429, 429]
    assert answers[-1].headers["retry-after"] == "3"
    events = kept(caller_id)
    assert {str(event.user_id) for event in events} == {user_id}
    assert [event.status for event in events] == [403] * 60


@pytest.mark.parametrize(("path", "status"), [(LETTA, 200), (MODELS, 403), (ME, 403)])
def test_says_with_which_api_key_somebody_came(
    client_for: Callable[[str], httpx.Client],
    gateway: str,
    caller_id: str,
    path: str,
    status: int,
) -> None:
    alice = client_for("alice@example.com")
    key = alice.post("/api/v1/llm/keys", json={"name": "cron", "scopes": ["letta"]}).json()

    answer = httpx.get(
        f"{gateway}{path}",
        headers={"authorization": f"Bearer {key['secret']}", "x-request-id": caller_id},
    )

    assert answer.status_code == status, answer.text
    (event,) = kept(caller_id)
    assert (str(event.user_id), event.facts["api_key_id"]) == (
        alice.get(ME).json()["id"],
        key["id"],
    )


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        (LETTA, AGENT, "agent"),
        ("/api/v1/llm/keys", {"name": "cron"}, "api_key"),
    ],
)
def test_says_what_a_request_has_made(
    client_for: Callable[[str], httpx.Client],
    caller_id: str,
    path: str,
    body: dict[str, str],
    kind: str,
) -> None:
    alice = client_for("alice@example.com")

    made = alice.post(path, json=body, headers={"x-request-id": caller_id})

    assert made.is_success, made.text
    (event,) = kept(caller_id)
    assert event.resource == f"{kind}:{made.json()['id']}"
