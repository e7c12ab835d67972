"""Two users never see, change, use or delete each other's things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import letta_client
import pytest

from tests.end_to_end.models import AGENT_EMBEDDING, AGENT_MODEL, say
from tests.end_to_end.people import Clients

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx
    from letta_client import Letta

    from tests.end_to_end.people import Person

SECRET = "alice-secret-4711"


@dataclass(frozen=True, slots=True)
class Belongings:
    """Ids of one of everything that a user can own."""

    agent: str
    block: str
    folder: str
    file: str
    conversation: str
    run: str
    passage: str
    message: str
    step: str
    tool: str

    def all(self) -> set[str]:
        """Return the ids, but for the base tools, which every user has of their own."""
        return {getattr(self, name) for name in self.__slots__ if name != "tool"}


@pytest.fixture(scope="module")
def sdk(gateway: Any) -> Iterator[Clients]:
    clients = Clients(gateway)
    yield clients
    clients.close()


@pytest.fixture(scope="module")
def owner(sdk: Clients, alice: Person) -> Letta:
    return sdk.letta(alice)


@pytest.fixture(scope="module")
def stranger(sdk: Clients, bob: Person) -> Letta:
    return sdk.letta(bob)


@pytest.fixture(scope="module")
def stranger_http(sdk: Clients, bob: Person) -> httpx.Client:
    return sdk.http(bob)


@pytest.fixture(scope="module")
def belongings(owner: Letta) -> Iterator[Belongings]:
    block = owner.blocks.create(label="secret", value=SECRET)
    folder = owner.folders.create(name=SECRET, embedding=AGENT_EMBEDDING)
    file = owner.folders.files.upload(folder.id, file=("s.txt", SECRET.encode(), "text/plain"))
    agent = owner.agents.create(
        name=SECRET, model=AGENT_MODEL, embedding=AGENT_EMBEDDING, block_ids=[block.id]
    )
    answer = owner.agents.messages.create(agent.id, input=SECRET)
    conversation = owner.conversations.create(agent_id=agent.id)
    (passage,) = owner.agents.passages.create(agent.id, text=SECRET)
    message: Any = answer.messages[0]
    yield Belongings(
        agent=agent.id,
        block=block.id,
        folder=folder.id,
        file=str(file.id),
        conversation=conversation.id,
        run=message.run_id,
        passage=str(passage.id),
        message=message.id,
        step=message.step_id,
        tool=next(iter(owner.tools.list())).id,
    )
    owner.agents.delete(agent.id)
    owner.folders.delete(folder.id)
    owner.blocks.delete(block.id)


@pytest.fixture(scope="module")
def own_agent(stranger: Letta) -> Iterator[str]:
    agent = stranger.agents.create(model=AGENT_MODEL, embedding=AGENT_EMBEDDING)
    yield agent.id
    stranger.agents.delete(agent.id)


LISTS = [
    "agents/",
    "agents/?limit=100",
    "blocks/",
    "folders/",
    "sources/",
    "archives/",
    "conversations/",
    "runs/",
    "runs/active",
    "steps/",
    "tools/",
    "tags/",
    "jobs/",
    "groups/",
    "identities/",
    "messages/",
    "agents/?name=alice-secret-4711",
    "conversations/?agent_id={agent}",
    "runs/?agent_id={agent}",
    "steps/?agent_id={agent}",
    "archives/?agent_id={agent}",
    "agents/?identity_id={agent}",
]


@pytest.mark.parametrize("path", LISTS)
def test_shows_nothing_of_another_user_in_a_list(
    stranger_http: httpx.Client, belongings: Belongings, path: str
) -> None:
    answer = stranger_http.get(f"/api/v1/letta/v1/{path.format(agent=belongings.agent)}")

    assert answer.status_code in {200, 400, 403, 404, 422}
    assert not [
        secret
        for secret in (SECRET, *belongings.all())
        if secret in answer.text and secret not in str(answer.request.url)
    ]


FOREIGN = [
    ("GET", "agents/{agent}"),
    ("PATCH", "agents/{agent}"),
    ("DELETE", "agents/{agent}"),
    ("GET", "agents/{agent}/messages"),
    ("POST", "agents/{agent}/messages"),
    ("POST", "agents/{agent}/messages/stream"),
    ("POST", "agents/{agent}/messages/async"),
    ("POST", "agents/{agent}/messages/cancel"),
    ("PATCH", "agents/{agent}/reset-messages"),
    ("GET", "agents/{agent}/context"),
    ("GET", "agents/{agent}/core-memory"),
    ("GET", "agents/{agent}/core-memory/blocks"),
    ("GET", "agents/{agent}/core-memory/blocks/secret"),
    ("PATCH", "agents/{agent}/core-memory/blocks/secret"),
    ("GET", "agents/{agent}/archival-memory"),
    ("POST", "agents/{agent}/archival-memory"),
    ("DELETE", "agents/{agent}/archival-memory/{passage}"),
    ("GET", "agents/{agent}/archival-memory/search?query=x"),
    ("GET", "agents/{agent}/tools"),
    ("GET", "agents/{agent}/folders"),
    ("GET", "agents/{agent}/sources"),
    ("GET", "agents/{agent}/files"),
    ("GET", "agents/{agent}/groups"),
    ("GET", "agents/{agent}/export"),
    ("GET", "blocks/{block}"),
    ("PATCH", "blocks/{block}"),
    ("DELETE", "blocks/{block}"),
    ("GET", "blocks/{block}/agents"),
    ("GET", "folders/{folder}"),
    ("PATCH", "folders/{folder}"),
    ("DELETE", "folders/{folder}"),
    ("GET", "folders/{folder}/files"),
    ("GET", "folders/{folder}/files/{file}"),
    ("GET", "folders/{folder}/passages"),
    ("GET", "folders/{folder}/agents"),
    ("DELETE", "folders/{folder}/{file}"),
    ("GET", "sources/{folder}"),
    ("GET", "conversations/{conversation}"),
    ("PATCH", "conversations/{conversation}"),
    ("DELETE", "conversations/{conversation}"),
    ("GET", "conversations/{conversation}/messages"),
    ("POST", "conversations/{conversation}/messages"),
    ("POST", "conversations/{agent}/messages"),
    ("POST", "conversations/{conversation}/cancel"),
    ("POST", "conversations/?agent_id={agent}"),
    ("GET", "runs/{run}"),
    ("GET", "runs/{run}/messages"),
    ("GET", "runs/{run}/steps"),
    ("GET", "runs/{run}/usage"),
    ("GET", "runs/{run}/metrics"),
    ("POST", "runs/{run}/stream"),
    ("DELETE", "runs/{run}"),
    ("GET", "steps/{step}"),
    ("GET", "messages/{message}"),
    ("GET", "agents/{own}/archival-memory/search?query=x&agent_id={agent}"),
    ("PATCH", "agents/{own}/core-memory/blocks/attach/{block}"),
    ("PATCH", "agents/{own}/folders/attach/{folder}"),
    ("PATCH", "agents/{own}/sources/attach/{folder}"),
    ("PATCH", "agents/{own}/tools/attach/{tool}"),
    ("DELETE", "agents/{own}/archival-memory/{passage}"),
]


@pytest.mark.parametrize(("method", "path"), FOREIGN)
def test_finds_nothing_of_another_user_by_its_id(
    stranger_http: httpx.Client, belongings: Belongings, own_agent: str, method: str, path: str
) -> None:
    ids = {name: getattr(belongings, name) for name in belongings.__slots__}
    url = f"/api/v1/letta/v1/{path.format(**ids, own=own_agent)}"
    body = {"messages": say("hi"), "value": "HACKED", "name": "HACKED", "text": "HACKED"}
    answer = stranger_http.request(method, url, json=None if method == "GET" else body)

    assert SECRET not in answer.text
    if "{own}/archival-memory/search" in path:
        return
    assert answer.status_code in {403, 404}
    assert answer.json()["code"] in {
        "caller_not_found",
        "policy_operation_not_offered",
        "policy_forbidden",
    }


def foreign_fields(theirs: Belongings) -> dict[str, Any]:
    return {
        "block_ids": [theirs.block],
        "source_ids": [theirs.folder],
        "folder_ids": [theirs.folder],
        "tool_ids": [theirs.tool],
        "identity_ids": ["identity-00000000-0000-4000-8000-00000000dead"],
    }


@pytest.mark.parametrize("field", sorted(foreign_fields(Belongings(*["x"] * 10))))
def test_attaches_nothing_of_another_user_through_a_body(
    stranger: Letta, belongings: Belongings, own_agent: str, field: str
) -> None:
    foreign: dict[str, Any] = {field: foreign_fields(belongings)[field]}

    with pytest.raises(letta_client.APIStatusError) as created:
        stranger.agents.create(model=AGENT_MODEL, embedding=AGENT_EMBEDDING, **foreign)
    with pytest.raises(letta_client.APIStatusError) as updated:
        stranger.agents.update(own_agent, **foreign)

    for caught in (created, updated):
        assert caught.value.status_code in {403, 404}
        assert SECRET not in caught.value.response.text
    assert list(stranger.agents.blocks.list(own_agent)) == []
    assert list(stranger.agents.folders.list(own_agent)) == []


HARMFUL = {
    "llm_config": {"model": "x", "model_endpoint": "http://127.0.0.1:9", "context_window": 1},
    "embedding_config": {"embedding_endpoint": "http://127.0.0.1:9"},
    "tool_exec_environment_variables": {"A": "b"},
    "secrets": {"A": "b"},
    "project_id": "x",
    "template_id": "x",
    "from_template": "x",
}


@pytest.mark.parametrize("field", sorted(HARMFUL))
def test_refuses_a_field_that_points_letta_elsewhere(
    stranger: Letta, own_agent: str, field: str
) -> None:
    with pytest.raises(letta_client.PermissionDeniedError) as caught:
        stranger.patch(f"/v1/agents/{own_agent}", cast_to=object, body={field: HARMFUL[field]})

    assert isinstance(caught.value.body, dict)
    assert caught.value.body["code"] == "policy_field_forbidden"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("messages/async", {"messages": say("hi"), "callback_url": "http://127.0.0.1:9"}),
        (
            "messages",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "image",
                                "source": {"type": "url", "url": "http://127.0.0.1:9/x.png"},
                            }
                        ],
                    }
                ]
            },
        ),
    ],
)
def test_makes_letta_call_no_address_that_a_user_chooses(
    stranger: Letta, own_agent: str, path: str, body: dict[str, Any]
) -> None:
    with pytest.raises(letta_client.APIStatusError) as caught:
        stranger.post(f"/v1/agents/{own_agent}/{path}", cast_to=object, body=body)

    assert caught.value.status_code == 403


def test_takes_no_header_for_who_somebody_is(
    sdk: Clients, owner: Letta, bob: Person, belongings: Belongings
) -> None:
    actor = owner.agents.retrieve(belongings.agent).created_by_id or ""
    http = sdk.http(bob)

    answer = http.get(
        f"/api/v1/letta/v1/agents/{belongings.agent}",
        headers={
            "user_id": actor,
            "user-id": actor,
            "x-user-id": actor,
            "x-bare-password": "password s3cret",
            "x-organization-id": "org-00000000-0000-4000-8000-000000000000",
        },
    )

    assert answer.status_code == 404


def test_leaves_everything_of_the_other_user_as_it_was(
    owner: Letta, belongings: Belongings, stranger: Letta
) -> None:
    for attempt in (
        lambda: stranger.agents.update(belongings.agent, name="HACKED"),
        lambda: stranger.agents.delete(belongings.agent),
        lambda: stranger.blocks.update(belongings.block, value="HACKED"),
        lambda: stranger.folders.delete(belongings.folder),
        lambda: stranger.conversations.delete(belongings.conversation),
    ):
        with pytest.raises(letta_client.NotFoundError):
            attempt()

    assert owner.agents.retrieve(belongings.agent).name == SECRET
    assert owner.blocks.retrieve(belongings.block).value == SECRET
    assert owner.folders.retrieve(belongings.folder).name == SECRET
    assert owner.conversations.retrieve(belongings.conversation).id == belongings.conversation


def test_gives_each_user_a_key_of_their_own(
    sdk: Clients, new_person: Callable[[str], Person], litellm_admin: Any
) -> None:
    carol, dave = new_person("carol"), new_person("dave")
    for person in (carol, dave):
        sdk.openai(person).models.list()

    (of_carol,), (of_dave,) = litellm_admin.keys_of(carol.id), litellm_admin.keys_of(dave.id)
    assert of_carol["token"] != of_dave["token"]
