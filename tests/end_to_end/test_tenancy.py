"""Two users never see, change, use or delete each other's things."""

from __future__ import annotations

import json
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
]


@pytest.mark.parametrize("path", LISTS)
def test_shows_nothing_of_another_user_in_a_list(
    stranger_http: httpx.Client, belongings: Belongings, path: str
) -> None:
    answer = stranger_http.get(f"/api/v1/letta/v1/{path}")

    assert answer.status_code in {200, 403}
    foreign = belongings.all() if "name=" in path else belongings.all() | {SECRET}
    assert not {word for word in foreign if word in answer.text}


Attempt = tuple[str, str, dict[str, Any] | None]
SAY = {"messages": say("hi")}

# With bodies that are right in themselves: what is wrong is whose things these are.
FOREIGN: list[Attempt] = [
    ("GET", "agents/{agent}", None),
    ("PATCH", "agents/{agent}", {"name": "HACKED"}),
    ("DELETE", "agents/{agent}", None),
    ("GET", "agents/{agent}/messages", None),
    ("POST", "agents/{agent}/messages", SAY),
    ("POST", "agents/{agent}/messages/stream", SAY),
    ("POST", "agents/{agent}/messages/async", SAY),
    ("POST", "agents/{agent}/messages/cancel", {}),
    ("PATCH", "agents/{agent}/reset-messages", {}),
    ("GET", "agents/{agent}/context", None),
    ("GET", "agents/{agent}/core-memory", None),
    ("GET", "agents/{agent}/core-memory/blocks", None),
    ("GET", "agents/{agent}/core-memory/blocks/secret", None),
    ("PATCH", "agents/{agent}/core-memory/blocks/secret", {"value": "HACKED"}),
    ("GET", "agents/{agent}/archival-memory", None),
    ("POST", "agents/{agent}/archival-memory", {"text": "HACKED"}),
    ("DELETE", "agents/{agent}/archival-memory/{passage}", None),
    ("DELETE", "agents/{own}/archival-memory/{passage}", None),
    ("GET", "agents/{agent}/archival-memory/search?query=x", None),
    ("GET", "agents/{agent}/tools", None),
    ("GET", "agents/{agent}/folders", None),
    ("GET", "agents/{agent}/sources", None),
    ("GET", "agents/{agent}/files", None),
    ("GET", "agents/{agent}/groups", None),
    ("GET", "agents/{agent}/export", None),
    ("GET", "blocks/{block}", None),
    ("PATCH", "blocks/{block}", {"value": "HACKED"}),
    ("DELETE", "blocks/{block}", None),
    ("GET", "blocks/{block}/agents", None),
    ("GET", "folders/{folder}", None),
    ("PATCH", "folders/{folder}", {"name": "HACKED"}),
    ("DELETE", "folders/{folder}", None),
    ("GET", "folders/{folder}/files", None),
    ("GET", "folders/{folder}/files/{file}", None),
    ("GET", "folders/{folder}/passages", None),
    ("GET", "folders/{folder}/agents", None),
    ("DELETE", "folders/{folder}/{file}", None),
    ("GET", "conversations/{conversation}", None),
    ("PATCH", "conversations/{conversation}", {"summary": "HACKED"}),
    ("DELETE", "conversations/{conversation}", None),
    ("GET", "conversations/{conversation}/messages", None),
    ("POST", "conversations/{conversation}/messages", SAY),
    ("POST", "conversations/{agent}/messages", SAY),
    ("POST", "conversations/default/messages", {**SAY, "agent_id": "{agent}"}),
    ("POST", "conversations/{conversation}/cancel", None),
    ("POST", "conversations/?agent_id={agent}", {}),
    ("GET", "conversations/?agent_id={agent}", None),
    ("GET", "runs/?agent_id={agent}", None),
    ("GET", "runs/{run}", None),
    ("GET", "runs/{run}/messages", None),
    ("GET", "runs/{run}/steps", None),
    ("GET", "runs/{run}/usage", None),
    ("GET", "runs/{run}/metrics", None),
    ("POST", "runs/{run}/stream", {"starting_after": 0}),
    ("GET", "steps/{step}", None),
    ("GET", "messages/{message}", None),
    ("PATCH", "agents/{own}/core-memory/blocks/attach/{block}", None),
    ("PATCH", "agents/{own}/folders/attach/{folder}", None),
    ("PATCH", "agents/{own}/sources/attach/{folder}", None),
    ("PATCH", "agents/{own}/tools/attach/{tool}", None),
    ("POST", "agents/{own}/messages/cancel", {"run_ids": ["{run}"]}),
    ("POST", "passages/search", {"query": "x", "agent_id": "{agent}"}),
]


@pytest.mark.parametrize("attempt", FOREIGN, ids=lambda attempt: f"{attempt[0]} {attempt[1]}")
def test_finds_nothing_of_another_user_by_its_id(
    stranger_http: httpx.Client,
    belongings: Belongings,
    own_agent: str,
    attempt: Attempt,
) -> None:
    method, path, body = attempt
    ids = {name: getattr(belongings, name) for name in belongings.__slots__} | {"own": own_agent}
    content = None if body is None else json.dumps(body)
    for name, value in ids.items():
        content = content and content.replace(f"{{{name}}}", value)
    answer = stranger_http.request(
        method,
        f"/api/v1/letta/v1/{path.format(**ids)}",
        content=content,
        headers={} if body is None else {"content-type": "application/json"},
    )

    assert (answer.status_code, answer.json()["code"]) == (404, "caller_not_found")
    assert SECRET not in answer.text


@pytest.mark.parametrize("kind", ["folders", "sources"])
def test_takes_no_upload_to_another_users_folder(
    stranger_http: httpx.Client, owner: Letta, belongings: Belongings, kind: str
) -> None:
    answer = stranger_http.post(
        f"/api/v1/letta/v1/{kind}/{belongings.folder}/upload", files={"file": ("h.txt", b"HACKED")}
    )

    assert (answer.status_code, answer.json()["code"]) == (404, "caller_not_found")
    assert [file.id for file in owner.folders.files.list(belongings.folder)] == [belongings.file]


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
    attempts: list[Callable[[], object]] = [
        lambda: stranger.agents.update(belongings.agent, name="HACKED"),
        lambda: stranger.agents.delete(belongings.agent),
        lambda: stranger.blocks.update(belongings.block, value="HACKED"),
        lambda: stranger.folders.delete(belongings.folder),
        lambda: stranger.conversations.delete(belongings.conversation),
    ]
    for attempt in attempts:
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
