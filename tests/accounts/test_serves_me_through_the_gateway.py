from __future__ import annotations

from collections.abc import Callable

import httpx


def test_knows_the_users_of_the_real_gateway_apart(
    client_for: Callable[[str], httpx.Client],
) -> None:
    answers = [client_for(f"{name}@example.com").get("/api/v1/me") for name in ("alice", "bob")]
    assert [answer.status_code for answer in answers] == [200, 200]
    emails = [answer.json()["email"] for answer in answers]
    assert emails == ["alice@example.com", "bob@example.com"]
    assert len({answer.json()["id"] for answer in answers}) == 2
