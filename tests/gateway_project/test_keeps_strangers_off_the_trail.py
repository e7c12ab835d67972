from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from accounts.tokens.verify import TokenVerifier
from gateway_core.context import RequestRecord
from gateway_core.errors import KeysUnavailable
from tests.gateway_project.trail import kept
from tests.gateway_project.waiting import sent

ME = "/api/v1/me"


@pytest.mark.parametrize("path", ["/admin/login/", "/admin/", "/admin/accounts/user/add/"])
def test_keeps_no_form_without_its_token_from_a_stranger(
    gateway: str, caller_id: str, path: str
) -> None:
    with httpx.Client(base_url=gateway, headers={"x-request-id": caller_id}) as stranger:
        answer = stranger.post(path, data={"username": "root"})

    assert (answer.status_code, answer.headers["x-request-id"]) == (403, caller_id)
    assert kept(caller_id) == []


@pytest.mark.parametrize("path", ["/zz-flood", ME, "/api/v1/llm/chat/completions", "/admin/login/"])
def test_keeps_nothing_of_a_stranger_who_leaves_before_the_answer(
    gateway: str, ended: Callable[[str], RequestRecord], caller_id: str, path: str
) -> None:
    with sent(gateway, path, f"X-Request-Id: {caller_id}", "Content-Length: 9", body=b"x"):
        pass

    assert ended(caller_id).status >= 400
    assert kept(caller_id) == []


@pytest.mark.parametrize("path", [ME, "/api/v1/llm/models"])
def test_keeps_nothing_of_a_token_that_nobody_can_judge_now(
    client_for: Callable[[str], httpx.Client],
    caller_id: str,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unjudged(_verifier: TokenVerifier, _token: bytes) -> None:
        raise KeysUnavailable

    monkeypatch.setattr(TokenVerifier, "averify", unjudged)

    answer = client_for("alice@example.com").get(path, headers={"x-request-id": caller_id})

    assert (answer.status_code, answer.json()["code"]) == (503, "gateway_keys_unavailable")
    assert kept(caller_id) == []


def test_tells_apart_what_came_under_one_name(
    client_for: Callable[[str], httpx.Client], caller_id: str
) -> None:
    alice = client_for("alice@example.com")
    for path in (ME, "/api/v1/templates"):
        alice.get(path, headers={"x-request-id": caller_id})
    spoilt = alice.get(ME, headers={"x-request-id": "a b"})

    assert len({event.id for event in kept(caller_id)}) == 2
    assert spoilt.headers["x-request-id"].startswith("req_")
