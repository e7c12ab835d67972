"""Which runs are listed."""

from __future__ import annotations

import pytest

from tests.gateway_project.sandbox.letta.conftest import Tenant


def _listed(alice: Tenant, query: str) -> list[str]:
    return [run["id"] for run in alice.http.get(f"/v1/runs/?{query}").raise_for_status().json()]


@pytest.mark.parametrize(
    ("query", "which"),
    [
        ("", ["under way", "ended"]),
        ("active=true", ["under way"]),
        ("active=false", ["under way", "ended"]),
        ("statuses=completed", ["ended"]),
        ("statuses=completed&active=true", ["ended"]),
        ("background=true", ["under way"]),
        ("stop_reason=end_turn", ["ended"]),
    ],
)
def test_lists_what_is_asked_for(alice: Tenant, query: str, which: list[str]) -> None:
    agent_id, path = alice.agent(), "/v1/agents/{}/messages/async"
    ended = alice.stream(agent_id, "x")[0]["run_id"]
    ids = {
        alice.make(path.format(agent_id), input="SLOW:100:0.05")["id"]: "under way",
        ended: "ended",
    }

    listed = _listed(alice, f"agent_id={agent_id}&{query}")

    alice.http.post(f"/v1/agents/{agent_id}/messages/cancel", json={}).raise_for_status()
    assert [ids[run_id] for run_id in listed] == which
