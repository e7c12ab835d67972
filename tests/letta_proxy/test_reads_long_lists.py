"""What users keep in Letta can be so much that a page of it is longer than an answer may be."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.conf import settings

from gateway_core.errors import UpstreamAnswerTooLong
from letta_proxy.direct import calls
from letta_proxy.direct.agents import list_agents
from tests.letta_proxy.conftest import Caller


@pytest.fixture
def agent_ids(alice: Caller) -> list[str]:
    return [alice.create_agent(name=f"Ada{n}", system="x" * 20_000)["id"] for n in range(7)]


def _id(caller: Caller) -> UUID:
    return UUID(caller.client.get("/api/v1/me").raise_for_status().json()["id"])


def _listed(user_id: UUID) -> list[str]:
    return [agent.agent_id for agent in list_agents(user_id=user_id)]


def _bound(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(calls._rest(settings.LETTA_BASE_URL), "limit", limit)


@pytest.mark.parametrize("limit", [40_000, 80_000, 120_000, 16_000_000])
def test_reads_a_list_in_smaller_pages_when_one_is_too_long(
    alice: Caller, agent_ids: list[str], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = _id(alice)
    _bound(monkeypatch, limit)

    assert _listed(user_id) == agent_ids


def test_leaves_letta_to_others_when_a_single_thing_is_too_long(
    alice: Caller, bob: Caller, agent_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = _id(alice)
    _bound(monkeypatch, 10_000)
    for _ in agent_ids:
        with pytest.raises(UpstreamAnswerTooLong):
            _listed(user_id)

    assert bob.get("/agents/") == []
