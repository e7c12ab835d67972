"""What users are told of their usage, next to what LiteLLM and Letta say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.models import PRICED, say
from tests.end_to_end.upstream_views import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from letta_client.types import AgentState

    from tests.end_to_end.people import Clients, Person
    from tests.end_to_end.upstream_views import LiteLLMAdmin

STREAM = "stub/s-n3"


@pytest.fixture
def carol(new_person: Callable[[str], Person]) -> Person:
    return new_person("carol")


def usage(http: httpx.Client, **query: str) -> Any:
    return http.get("/api/v1/me/usage", params=query).raise_for_status().json()


def test_tells_tokens_and_cost_of_calls_and_what_is_left(
    clients: Clients, carol: Person, litellm_admin: LiteLLMAdmin
) -> None:
    llm, http = clients.openai(carol), clients.http(carol)
    # LiteLLM takes the dearest answer that a model may give off a budget until it is settled.
    limit: Any = {"max_tokens": 10}
    llm.chat.completions.create(model=PRICED, messages=say("hi"), **limit)
    list(llm.chat.completions.create(model=STREAM, messages=say("hi"), stream=True, **limit))

    totals = eventually(lambda: usage(http)["totals"], lambda totals: totals["calls"] == 2)
    assert (totals["tokens_in"], totals["tokens_out"], totals["cost"]) == (20, 40, "0.1")
    groups = usage(http, group_by="model")["groups"]
    assert [group["model"] for group in groups] == [PRICED, STREAM]
    budget = eventually(lambda: usage(http)["budget"], lambda budget: budget["spent"] == "0.1")
    assert budget["is_exact"] is True
    assert float(budget["remaining"]) == pytest.approx(float(budget["limit"]) - 0.1)
    assert litellm_admin.user(carol.id)["budget_reset_at"][:19] == budget["resets_at"][:19]


def test_finds_out_what_a_stream_has_cost_that_its_reader_left(
    clients: Clients, carol: Person
) -> None:
    http = clients.http(carol)
    body = {"model": "stub/s-n200-d20", "messages": say("hi"), "stream": True}
    with http.stream("POST", "/api/v1/llm/v1/chat/completions", json=body) as answer:
        next(answer.iter_raw())

    left = eventually(lambda: usage(http)["totals"], lambda totals: totals["calls"] == 1)
    assert left["open_calls"] == 1
    found = eventually(
        lambda: usage(http)["totals"], lambda totals: totals["open_calls"] == 0, seconds=60
    )
    assert 0 < float(found["cost"]) < 0.05


def test_counts_the_turns_of_agents(alice_http: httpx.Client, agent: AgentState) -> None:
    for path in ("messages", "messages/stream"):
        body = {"messages": say("hi")}
        alice_http.post(f"/api/v1/letta/v1/agents/{agent.id}/{path}", json=body).raise_for_status()

    def turns() -> list[int]:
        groups = usage(alice_http, group_by="agent")["groups"]
        return [group["turns"] for group in groups if group["agent_id"] == agent.id]

    assert eventually(turns, lambda found: found == [2]) == [2]
