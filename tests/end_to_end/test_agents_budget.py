"""Agents and chat spend on one budget: that of the user, and of nobody else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import letta_client
import openai
import pytest

from tests.end_to_end.models import PRICED, say
from tests.end_to_end.test_letta_folders import TEXT, wait_until_read
from tests.end_to_end.upstream_views import eventually

if TYPE_CHECKING:
    from letta_client.types import AgentState

    from tests.end_to_end.people import Clients, Person
    from tests.end_to_end.upstream_views import LettaAdmin, LiteLLMAdmin

    MakeAgent = Callable[..., AgentState]

SECRET = re.compile(r"gws_[A-Za-z0-9_-]+")


@pytest.fixture
def carol(new_person: Callable[[str], Person]) -> Person:
    return new_person("carol")


@pytest.fixture
def dave(new_person: Callable[[str], Person]) -> Person:
    return new_person("dave")


def spent(admin: LiteLLMAdmin, *people: Person) -> list[float]:
    return [sum(key["spend"] for key in admin.keys_of(person.id)) for person in people]


def calls_of(admin: LiteLLMAdmin, person: Person, kind: str) -> list[dict[str, Any]]:
    return [row for row in admin.spend_logs_of(person.id) if row["call_type"] == kind]


def exhaust(admin: LiteLLMAdmin, person: Person) -> None:
    """Leave a user nothing to spend."""
    (key,) = admin.keys_of(person.id)
    eventually(lambda: spent(admin, person), lambda seen: seen[0] > 0)
    admin.change_key(key["token"], max_budget=0.0000001)


def test_a_turn_raises_exactly_its_users_spend(
    clients: Clients,
    carol: Person,
    dave: Person,
    make_agent: MakeAgent,
    litellm_admin: LiteLLMAdmin,
) -> None:
    agents = {person: make_agent(clients.letta(person)) for person in (carol, dave)}
    assert spent(litellm_admin, carol, dave) == [0, 0]

    clients.letta(carol).agents.messages.create(agents[carol].id, input="hello")

    (turn,) = eventually(lambda: calls_of(litellm_admin, carol, "acompletion"), bool)
    assert turn["spend"] > 0
    expected = pytest.approx([turn["spend"], 0])
    assert (
        eventually(lambda: spent(litellm_admin, carol, dave), lambda s: s == expected) == expected
    )
    assert litellm_admin.spend_logs_of(dave.id) == []


def test_chat_and_agents_add_up_on_one_key(
    clients: Clients, carol: Person, make_agent: MakeAgent, litellm_admin: LiteLLMAdmin
) -> None:
    agent = make_agent(clients.letta(carol))
    clients.letta(carol).agents.messages.create(agent.id, input="hello")
    clients.openai(carol).chat.completions.create(model=PRICED, messages=say("hi"))

    rows = eventually(
        lambda: calls_of(litellm_admin, carol, "acompletion"), lambda seen: len(seen) == 2
    )

    assert {row["model_group"] for row in rows} == {"stub-chat", PRICED}
    assert len(litellm_admin.keys_of(carol.id)) == 1
    expected = pytest.approx([sum(row["spend"] for row in rows)])
    assert eventually(lambda: spent(litellm_admin, carol), lambda s: s == expected) == expected


def test_memory_and_files_are_embedded_at_their_users_expense(
    clients: Clients, carol: Person, make_agent: MakeAgent, litellm_admin: LiteLLMAdmin, mark: str
) -> None:
    letta = clients.letta(carol)
    agent = make_agent(letta)
    letta.agents.passages.create(agent.id, text="The sky is blue.")
    letta.agents.passages.search(agent.id, query="sky")
    folder = letta.folders.create(name=mark, embedding="openai/text-embedding-3-small")
    letta.folders.files.upload(folder.id, file=("sky.txt", TEXT, "text/plain"))
    assert wait_until_read(letta, folder.id) == ["completed"]
    archive = letta.archives.create(name=mark, embedding="openai/text-embedding-3-small")
    letta.archives.passages.create(archive.id, text="The sky is blue.")

    rows = eventually(
        lambda: calls_of(litellm_admin, carol, "aembedding"), lambda seen: len(seen) == 4
    )

    assert len(rows) == 4
    assert {row["model_group"] for row in rows} == {"text-embedding-3-small"}
    letta.folders.delete(folder.id)
    letta.archives.delete(archive.id)


def test_an_exhausted_budget_stops_chat_and_agents(
    clients: Clients, carol: Person, make_agent: MakeAgent, litellm_admin: LiteLLMAdmin
) -> None:
    letta = clients.letta(carol)
    agent = make_agent(letta)
    letta.agents.messages.create(agent.id, input="hello")
    exhaust(litellm_admin, carol)

    with pytest.raises(openai.RateLimitError) as of_chat:
        clients.openai(carol).chat.completions.create(model=PRICED, messages=say("hi"))
    with pytest.raises(letta_client.RateLimitError) as of_agent:
        letta.agents.messages.create(agent.id, input="hello")
    with pytest.raises(letta_client.APIStatusError) as of_stream:
        list(letta.agents.messages.create(agent.id, input="hello", streaming=True))
    with pytest.raises(letta_client.APIStatusError) as of_tokens:
        list(
            letta.agents.messages.create(
                agent.id, input="hello", streaming=True, stream_tokens=True
            )
        )

    assert of_chat.value.code == "quota_budget_exhausted"
    assert isinstance(of_agent.value.body, dict)
    assert of_agent.value.body["code"] == "quota_budget_exhausted"
    for caught in (of_stream, of_tokens):
        assert "quota_budget_exhausted" in str(caught.value)


def test_an_exhausted_budget_stops_embedding(
    clients: Clients, carol: Person, make_agent: MakeAgent, litellm_admin: LiteLLMAdmin, mark: str
) -> None:
    letta = clients.letta(carol)
    agent = make_agent(letta)
    letta.agents.messages.create(agent.id, input="hello")
    exhaust(litellm_admin, carol)

    with pytest.raises(letta_client.RateLimitError) as caught:
        letta.agents.passages.create(agent.id, text="The sky is blue.")
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["code"] == "quota_budget_exhausted"

    folder = letta.folders.create(name=mark, embedding="openai/text-embedding-3-small")
    letta.folders.files.upload(folder.id, file=("sky.txt", TEXT, "text/plain"))
    assert wait_until_read(letta, folder.id) == ["error"]
    (file,) = letta.folders.files.list(folder.id)
    assert str(file.error_message).startswith("quota_budget_exhausted: ")
    letta.folders.delete(folder.id)


def test_an_exhausted_budget_is_told_of_a_run_in_the_background(
    clients: Clients, carol: Person, make_agent: MakeAgent, litellm_admin: LiteLLMAdmin
) -> None:
    letta = clients.letta(carol)
    agent = make_agent(letta)
    letta.agents.messages.create(agent.id, input="hello")
    exhaust(litellm_admin, carol)

    started = letta.agents.messages.create_async(agent.id, input="hello")
    run = eventually(lambda: letta.runs.retrieve(started.id), lambda seen: seen.status == "failed")

    assert run.metadata is not None
    assert str(run.metadata["error"]).startswith("quota_budget_exhausted: ")


def test_a_secret_is_good_for_its_own_user_only(
    clients: Clients, carol: Person, dave: Person, make_agent: MakeAgent, letta_admin: LettaAdmin
) -> None:
    agent = make_agent(clients.letta(carol))
    endpoint = letta_admin.get(f"/v1/agents/{agent.id}", carol.id)["llm_config"]["model_endpoint"]
    assert endpoint.endswith(f"/agents/{agent.id}")
    (secret,) = SECRET.findall(endpoint)
    body = {"model": "stub-chat", "messages": say("hi")}

    own = httpx.post(f"{endpoint}/chat/completions", json=body)
    of_dave = httpx.post(
        f"{endpoint}/chat/completions".replace(carol.id, dave.id),
        json=body,
        headers={"authorization": f"Bearer {secret}"},
    )

    assert own.status_code == 200
    assert (of_dave.status_code, of_dave.json()["code"]) == (401, "caller_token_invalid")


def test_no_answer_shows_a_secret(
    clients: Clients, carol: Person, make_agent: MakeAgent, mark: str
) -> None:
    letta, http = clients.letta(carol), clients.http(carol)
    agent = make_agent(letta)
    folder = letta.folders.create(name=mark, embedding="openai/text-embedding-3-small")
    letta.agents.folders.attach(folder.id, agent_id=agent.id)
    (passage,) = letta.agents.passages.create(agent.id, text="sky")
    stream = http.post(
        f"/api/v1/letta/agents/{agent.id}/messages/stream", json={"input": "hello"}
    ).text
    (run,) = list(letta.runs.list(agent_id=agent.id))
    (step,) = list(letta.runs.steps.list(run.id))

    for path in (
        "agents",
        f"agents/{agent.id}",
        f"agents/{agent.id}?include=agent.tools&include=agent.sources&include=agent.blocks",
        f"agents/{agent.id}/export",
        f"agents/{agent.id}/context",
        f"agents/{agent.id}/folders",
        f"agents/{agent.id}/sources",
        f"agents/{agent.id}/archival-memory",
        f"agents/{agent.id}/messages",
        f"archives/{passage.archive_id}",
        f"archives/{passage.archive_id}/agents?include=agent.sources",
        "archives",
        "folders",
        f"folders/{folder.id}",
        "models",
        "models/embedding",
        "runs",
        f"runs/{run.id}",
        f"runs/{run.id}/steps",
        f"runs/{run.id}/messages",
        f"steps/{step.id}",
        f"steps/{step.id}/trace",
        f"steps/{step.id}/metrics",
    ):
        answer = http.get(f"/api/v1/letta/{path}")
        assert (path, answer.status_code) == (path, 200)
        assert (path, SECRET.findall(answer.text)) == (path, [])
    assert SECRET.findall(stream) == []
    letta.folders.delete(folder.id)


def test_lists_the_users_own_models_only(clients: Clients, carol: Person) -> None:
    letta = clients.letta(carol)

    models = {model.handle for model in letta.models.list()}
    embeddings = {model.handle for model in letta.models.embeddings.list()}

    assert "openai-proxy/stub-chat" in models
    assert len(models) < 20  # of 200 and more that a wildcard route stands for, none
    assert all(str(handle).startswith("openai-proxy/") for handle in models)
    assert embeddings >= {"gateway/text-embedding-3-small"}
    assert all(str(handle).startswith("gateway/") for handle in embeddings)


@pytest.mark.parametrize("model", ["letta/letta-free", "openai-proxy/nothing", "openai/gpt-4o"])
def test_gives_agents_no_model_beyond_their_users(
    clients: Clients, carol: Person, make_agent: MakeAgent, model: str
) -> None:
    letta = clients.letta(carol)
    with pytest.raises(letta_client.NotFoundError):
        letta.agents.create(model=model)

    agent = make_agent(letta)
    with pytest.raises(letta_client.NotFoundError):
        letta.agents.messages.create(agent.id, input="hi", override_model=model)
