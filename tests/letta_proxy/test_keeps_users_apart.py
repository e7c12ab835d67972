"""Bob, with every id of Alice's in every place that an id can stand."""

from __future__ import annotations

import re
from typing import Any

import orjson

from gateway_core.proxy.operations import BodyKind
from letta_proxy.catalogue import CATALOGUE
from letta_proxy.catalogue.operation import QUERY_OWNER_RULES, LettaOperation, Within
from tests.conftest import Running
from tests.letta_proxy.conftest import MODEL, Belongings, Caller

_OFFERED = [operation for operation in CATALOGUE.operations if operation.is_offered]
_WITH_IDS = [operation for operation in _OFFERED if operation.owners]
_MISSING = "00000000-0000-4000-8000-00000000dead"


def attempt(caller: Caller, operation: LettaOperation, ids: dict[str, str], query: str = "") -> Any:
    parts: dict[str, Any] = {}
    if operation.body is BodyKind.JSON:
        parts["json"] = {}
    if operation.body is BodyKind.FORM:
        parts["files"] = {"file": ("a.txt", b"x", "text/plain")}
    return caller(operation.method, operation.path.format_map(ids) + query, **parts)


def test_finds_nothing_by_the_ids_of_somebody_else(
    bob: Caller, letta: Running, of_alice: Belongings
) -> None:
    bob.get("/agents/")
    letta.client.delete("/_sandbox/requests")
    theirs = of_alice.values()
    missing = {name: re.sub("-.*", f"-{_MISSING}", id_) for name, id_ in theirs.items()}

    for operation in _WITH_IDS:
        foreign = attempt(bob, operation, theirs)
        absent = attempt(bob, operation, {**missing, "block_label": "human", "tool_name": "x"})

        assert (operation.name, foreign.status_code) == (operation.name, 404)
        assert _without_id(foreign.json()) == _without_id(absent.json())
        assert "secret" not in foreign.text

    assert {request["method"] for request in letta.requests()} == {"GET"}


def _without_id(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "request_id"}


def test_takes_no_foreign_id_beside_an_own_one(
    bob: Caller, of_alice: Belongings, of_bob: Belongings
) -> None:
    answers = {
        (operation.name, place): attempt(
            bob, operation, of_bob.values() | {place: of_alice.values()[place]}
        ).status_code
        for operation in _WITH_IDS
        for place, rule in operation.owners.items()
        if len(operation.owners) > 1 and rule is not Within.THING
    }

    assert len(answers) > 20
    assert {place: status for place, status in answers.items() if status != 404} == {}


def test_detaches_nothing_from_somebody_elses_agent(
    alice: Caller, bob: Caller, of_alice: Belongings
) -> None:
    path = f"/agents/{of_alice.agent_id}/tools/detach/{of_alice.tool_id}"

    assert bob("PATCH", path).status_code == 404
    tools = alice.get(f"/agents/{of_alice.agent_id}/tools")
    assert of_alice.tool_id in [tool["id"] for tool in tools]


def test_takes_no_foreign_id_in_a_query(
    bob: Caller, of_alice: Belongings, of_bob: Belongings
) -> None:
    for operation in _OFFERED:
        for name in operation.query & set(QUERY_OWNER_RULES):
            kind = name.removesuffix("s")
            own, foreign = of_bob.values()[kind], of_alice.values()[kind]
            first = attempt(bob, operation, of_bob.values(), f"?{name}={foreign}")
            second = attempt(bob, operation, of_bob.values(), f"?{name}={own}&{name}={foreign}")

            statuses = (first.status_code, second.status_code)
            assert (operation.name, name, statuses) == (operation.name, name, (404, 404))


FOREIGN_FIELDS = {
    "block_ids": "block_id",
    "folder_ids": "folder_id",
    "source_ids": "folder_id",
    "tool_ids": "tool_id",
    "identity_ids": "identity_id",
}


def test_attaches_nothing_foreign_through_a_body(
    alice: Caller, bob: Caller, letta: Running, of_alice: Belongings, of_bob: Belongings
) -> None:
    theirs = of_alice.values() | {"identity_id": _identity_of(alice, letta, of_alice)}
    before = bob.get(f"/agents/{of_bob.agent_id}")

    for field, kind in FOREIGN_FIELDS.items():
        foreign = {field: [theirs[kind]]}
        created = bob("POST", "/agents/", json={"model": MODEL, **foreign})
        updated = bob("PATCH", f"/agents/{of_bob.agent_id}", json=foreign)

        assert (field, created.status_code, updated.status_code) == (field, 404, 404)

    assert bob.get(f"/agents/{of_bob.agent_id}") == before
    assert len(bob.get("/agents/")) == 1


def _identity_of(alice: Caller, letta: Running, of_alice: Belongings) -> str:
    owner = alice.get(f"/agents/{of_alice.agent_id}")["created_by_id"]
    answer = letta.client.post(
        "/v1/identities/",
        json={"identifier_key": "a", "name": "a", "identity_type": "user"},
        headers={"authorization": f"Bearer {letta.credentials['LETTA_API_KEY']}", "user_id": owner},
    )
    return str(answer.json()["id"])


FOREIGN_BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/agents/{agent_id}/messages/cancel", {"run_ids": ["{run_id}"]}),
    ("/conversations/default/messages", {"agent_id": "{agent_id}", "input": "hi"}),
    ("/conversations/default/stream", {"agent_id": "{agent_id}"}),
    ("/conversations/{conversation_id}/stream", {"run_id": "{run_id}"}),
    ("/conversations/default/compact", {"agent_id": "{agent_id}"}),
    ("/conversations/default/recompile", {"agent_id": "{agent_id}"}),
    ("/conversations/{conversation_id}/compact", {"agent_id": "{agent_id}"}),
    ("/runs/{run_id}/stream", {"run_id": "{run_id}"}),
    ("/runs/{run_id}/stream", {"agent_id": "{agent_id}"}),
    ("/passages/search", {"query": "sky", "agent_id": "{agent_id}"}),
    ("/passages/search", {"query": "sky", "archive_id": "{archive_id}"}),
    ("/chat/completions", {"model": "{agent_id}", "messages": [], "stream": True}),
    ("/agents/{agent_id}/export", {"conversation_id": "{conversation_id}"}),
]


def test_takes_no_foreign_id_in_a_body(
    bob: Caller, of_alice: Belongings, of_bob: Belongings
) -> None:
    for path, body in FOREIGN_BODIES:
        filled = orjson.loads(_fill(orjson.dumps(body).decode(), of_alice))
        answer = bob("POST", _fill(path, of_bob), json=filled)

        assert (path, body, answer.status_code) == (path, body, 404)
        assert answer.json()["code"] == "caller_not_found"


def _fill(text: str, belongings: Belongings) -> str:
    for name, value in belongings.values().items():
        text = text.replace(f"{{{name}}}", value)
    return text


def test_finds_no_foreign_agent_behind_an_alias(bob: Caller, of_alice: Belongings) -> None:
    for alias in (of_alice.agent_id, "default"):
        path = f"/conversations/{alias}/messages?agent_id={of_alice.agent_id}"

        assert (alias, bob("GET", path).status_code) == (alias, 404)


LISTS = [
    "/agents/",
    "/archives/",
    "/blocks/",
    "/conversations/",
    "/folders/",
    "/runs/",
    "/runs/active",
    "/agents/?limit=100&order=asc",
    "/agents/?after={agent_id}",
    "/agents/?before={agent_id}",
    "/agents/?name=Ada",
    "/blocks/?value_search=secret",
    "/blocks/?after={block_id}",
    "/folders/?name=docs",
    "/runs/?after={run_id}",
]


def test_lists_nothing_of_somebody_else(bob: Caller, of_alice: Belongings) -> None:
    for path in LISTS:
        answer = bob("GET", _fill(path, of_alice))

        assert (path, answer.status_code, answer.json()) == (path, 200, [])


def test_lets_the_owner_reach_everything(alice: Caller, of_alice: Belongings) -> None:
    for operation in _WITH_IDS:
        if operation.method == "GET" and operation.name not in {
            "search_archival_memory",
            "retrieve_trace_for_run",
        }:
            answer = attempt(alice, operation, of_alice.values())

            assert (operation.name, answer.status_code) == (operation.name, 200)


def test_leaves_everything_as_it_was(alice: Caller, bob: Caller, of_alice: Belongings) -> None:
    paths = [
        f"/agents/{of_alice.agent_id}",
        f"/blocks/{of_alice.block_id}",
        f"/folders/{of_alice.folder_id}",
        f"/conversations/{of_alice.conversation_id}",
        f"/archives/{of_alice.archive_id}",
    ]
    before = [alice.get(path) for path in paths]

    for operation in _WITH_IDS:
        if operation.method != "GET":
            attempt(bob, operation, of_alice.values())

    assert [alice.get(path) for path in paths] == before
