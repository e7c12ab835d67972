"""A page of one's own list tells nothing of when somebody else's things were made."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Running
from tests.letta_proxy.conftest import Belongings, Caller

NOTHING = "00000000-0000-4000-8000-000000000000"


def ids(things: list[dict[str, Any]]) -> list[str]:
    return [thing["id"] for thing in things]


@pytest.mark.parametrize("cursor", ["after", "before"])
def test_takes_a_foreign_cursor_for_a_missing_one(
    alice: Caller, bob: Caller, letta: Running, cursor: str
) -> None:
    bob.create_agent()
    foreign = alice.create_agent()["id"]
    bob.create_agent()

    of_foreign = bob.get(f"/agents/?{cursor}={foreign}&limit=1")
    of_missing = bob.get(f"/agents/?{cursor}=agent-00000000-0000-4000-8000-00000000dead&limit=1")

    assert of_foreign == of_missing
    assert f"{cursor}=agent-{NOTHING}&limit=1" in letta.requests("^/v1/agents/$")[-1]["query"]


def test_turns_the_pages_of_an_own_list(alice: Caller, of_alice: Belongings) -> None:
    """Each with a cursor that is found in its own way."""
    agent = f"/agents/{of_alice.agent_id}"
    alice.create_agent()
    alice.say(of_alice.agent_id, "again")
    alice.post(f"{agent}/archival-memory", json={"text": "grass"})
    for path in (
        "/agents/?order=asc",
        "/blocks/?order=asc",
        "/archives/?order=asc",
        "/tools/?order=asc",
        f"{agent}/messages?order=asc",
        f"{agent}/archival-memory?ascending=true",
        f"{agent}/tools?order=asc",
    ):
        whole = ids(alice.get(f"{path}&limit=100"))
        found = ids(alice.get(f"{path}&limit=1"))
        while more := ids(alice.get(f"{path}&limit=1&after={found[-1]}")):
            found += more

        assert (path, found) == (path, whole)


def test_goes_on_after_a_thing_that_was_deleted(alice: Caller) -> None:
    agents = [alice.create_agent()["id"] for _ in range(3)]
    first = ids(alice.get("/agents/?limit=1&order=asc"))
    alice("DELETE", f"/agents/{agents[0]}").raise_for_status()

    assert first == agents[:1]
    assert alice("GET", f"/agents/?order=asc&after={agents[0]}").status_code == 200


def test_asks_letta_once_for_a_cursor_that_is_not_recorded(
    alice: Caller, letta: Running, of_alice: Belongings
) -> None:
    path = f"/agents/{of_alice.agent_id}/messages"
    first = alice.get(f"{path}?order=asc")[0]
    assert first["message_type"] == "system_message"

    for _ in range(3):
        alice.get(f"{path}?order=asc&after={first['id']}")

    assert len(letta.requests(f"/v1/messages/{first['id']}")) <= 2
