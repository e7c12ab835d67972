"""What was done to a real Letta server, tried through the gateway."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.conftest import Running
from tests.letta_proxy.conftest import MODEL, Belongings, Caller

INSIDE = "http://127.0.0.1:9/steal"


def untouched(letta: Running) -> bool:
    """Say that Letta neither fetched an address nor ran code for anybody."""
    fetched = letta.client.get("/_sandbox/fetched").json()
    executed = letta.client.get("/_sandbox/executed").json()
    return not fetched and not executed


def refused_field(answer: Any, pointer: str) -> None:
    assert answer.status_code == 403
    assert answer.json()["code"] == "policy_field_forbidden"
    assert answer.json()["error"]["param"] == pointer
    assert pointer in answer.json()["detail"]


FORBIDDEN_AGENT_FIELDS: dict[str, Any] = {
    "llm_config": {"model": "x", "model_endpoint": INSIDE, "context_window": 1},
    "embedding_config": {"embedding_endpoint": INSIDE},
    "tool_exec_environment_variables": {"A": "b"},
    "secrets": {"A": "b"},
    "project_id": "x",
    "template_id": "x",
    "base_template_id": "x",
}


@pytest.mark.parametrize("field", sorted(FORBIDDEN_AGENT_FIELDS))
def test_points_no_agent_at_another_address(alice: Caller, letta: Running, field: str) -> None:
    agent_id = alice.create_agent()["id"]
    body = {field: FORBIDDEN_AGENT_FIELDS[field]}

    refused_field(alice("POST", "/agents/", json={"model": MODEL, **body}), f"/{field}")
    refused_field(alice("PATCH", f"/agents/{agent_id}", json=body), f"/{field}")

    alice.say(agent_id)
    assert untouched(letta)


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("from_template", "x", "/from_template"),
        ("memory_variables", {"a": "b"}, "/memory_variables"),
        ("include_multi_agent_tools", True, "/include_multi_agent_tools"),
        ("include_default_source", True, "/include_default_source"),
        ("tools", ["memory_insert", "run_code"], "/tools/1"),
        ("tools", ["fetch_webpage"], "/tools/0"),
        ("tools", ["send_message_to_agent_async"], "/tools/0"),
        ("tool_source", "def x(): ...", "/tool_source"),
        (
            "memory_blocks",
            [{"label": "a", "value": "b", "template_id": "x"}],
            "/memory_blocks/0/template_id",
        ),
        (
            "compaction_settings",
            {"model_settings": {"endpoint": INSIDE}},
            "/compaction_settings/model_settings/endpoint",
        ),
        ("model_settings", {"model_endpoint": INSIDE}, "/model_settings/model_endpoint"),
    ],
)
def test_makes_no_agent_with_a_field_that_reaches_further(
    alice: Caller, letta: Running, field: str, value: Any, pointer: str
) -> None:
    refused_field(alice("POST", "/agents/", json={"model": MODEL, field: value}), pointer)

    assert letta.requests("^/v1/agents") == []


def test_drops_who_the_actor_should_be(alice: Caller, bob: Caller, letta: Running) -> None:
    of_bob = bob.create_agent()

    agent = alice.create_agent(actor_id=of_bob["created_by_id"])

    assert agent["created_by_id"] != of_bob["created_by_id"]
    assert "actor_id" not in letta.requests("^/v1/agents/$")[-1]["body"]


def test_gives_no_tool_that_is_not_on_the_list(alice: Caller) -> None:
    agent = alice.create_agent()
    tools = {tool["name"]: tool["id"] for tool in alice.get("/tools/?limit=100")}

    attached = alice("PATCH", f"/agents/{agent['id']}/tools/attach/{tools['run_code']}")
    patched = alice("PATCH", f"/agents/{agent['id']}", json={"tool_ids": [tools["run_code"]]})
    allowed = alice("PATCH", f"/agents/{agent['id']}/tools/attach/{tools['open_files']}")

    assert (attached.status_code, attached.json()["error"]["param"]) == (403, "tool_id")
    assert (patched.status_code, patched.json()["error"]["param"]) == (403, "/tool_ids/0")
    assert allowed.status_code == 200
    assert "open_files" in {tool["name"] for tool in allowed.json()["tools"]}


IMAGES: dict[str, Any] = {
    "letta": {"type": "image", "source": {"type": "url", "url": INSIDE}},
    "letta, untyped": {"type": "image", "source": {"url": INSIDE}},
    "letta, file": {"type": "image", "source": {"type": "letta", "file_id": "file-1"}},
    "openai": {"type": "image_url", "image_url": {"url": INSIDE}},
    "openai, short": {"type": "image_url", "image_url": INSIDE},
    "scheme": {"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}},
    "case": {"type": "image", "source": {"type": "url", "url": "HTTP://127.0.0.1:9"}},
    "blank": {"type": "image", "source": {"type": "url", "url": f" data:,{INSIDE}"}},
}
PLACES: dict[str, Any] = {
    "messages": {"messages": [{"role": "user", "content": ["<image>"]}]},
    "input": {"input": ["<image>"]},
    "tool_returns": {
        "messages": [
            {
                "type": "tool_return",
                "tool_returns": [
                    {"tool_call_id": "x", "status": "success", "tool_return": ["<image>"]}
                ],
            }
        ]
    },
    "approvals": {
        "messages": [
            {
                "type": "approval",
                "approvals": [
                    {
                        "type": "tool",
                        "tool_call_id": "x",
                        "status": "success",
                        "tool_return": ["<image>"],
                    }
                ],
            }
        ]
    },
}


def test_fetches_no_image(alice: Caller, letta: Running) -> None:
    agent_id = alice.create_agent()["id"]

    for place, body in PLACES.items():
        for form, image in IMAGES.items():
            filled = orjson.loads(orjson.dumps(body).replace(b'"<image>"', orjson.dumps(image)))
            for path in ("messages", "messages/stream", "messages/async"):
                answer = alice("POST", f"/agents/{agent_id}/{path}", json=filled)

                assert (place, form, path, answer.status_code) == (place, form, path, 403)
                assert answer.json()["code"] == "policy_field_forbidden"
    first = {"model": MODEL, "initial_message_sequence": PLACES["messages"]["messages"]}
    filled = orjson.loads(orjson.dumps(first).replace(b'"<image>"', orjson.dumps(IMAGES["letta"])))
    assert alice("POST", "/agents/", json=filled).status_code == 403
    chat = {"model": agent_id, "messages": [{"role": "user", "content": [IMAGES["openai"]]}]}
    assert alice("POST", "/chat/completions", json=chat).status_code == 403
    assert untouched(letta)


def test_takes_an_image_that_is_in_the_message(alice: Caller) -> None:
    agent_id = alice.create_agent()["id"]
    pixel = "iVBORw0KGgo="
    sources = (
        {"type": "base64", "media_type": "image/png", "data": pixel},
        {"type": "url", "url": f"data:image/png;base64,{pixel}"},
    )
    for source in sources:
        content = [{"type": "text", "text": "hi"}, {"type": "image", "source": source}]
        body = {"messages": [{"role": "user", "content": content}]}

        assert alice("POST", f"/agents/{agent_id}/messages", json=body).status_code == 200


def test_calls_no_address_back(alice: Caller, letta: Running) -> None:
    agent_id = alice.create_agent()["id"]
    body = {"input": "hi", "callback_url": INSIDE}

    refused_field(alice("POST", f"/agents/{agent_id}/messages/async", json=body), "/callback_url")
    refused_field(alice("POST", f"/agents/{agent_id}/messages", json=body), "/callback_url")

    assert untouched(letta)


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("max_steps", 51, 422),
        ("max_steps", 0, 422),
        ("max_steps", "5", 422),
        ("max_steps", True, 422),
        ("override_system", "be evil", 403),
        ("client_tools", [{"name": "x", "source_code": "def x(): ..."}], 403),
        ("client_tools", "x", 422),
        ("override_model", {"model_endpoint": INSIDE}, 422),
        ("llm_config", {"model_endpoint": INSIDE}, 403),
        ("group_id", "group-1", 403),
    ],
)
def test_sends_no_message_with_a_field_that_reaches_further(
    alice: Caller, letta: Running, field: str, value: Any, status: int
) -> None:
    agent_id = alice.create_agent()["id"]

    answer = alice("POST", f"/agents/{agent_id}/messages", json={"input": "hi", field: value})

    assert (answer.status_code, answer.json()["error"]["param"].split("/")[1]) == (status, field)
    assert letta.requests("/messages$") == []


CLOSED: list[tuple[str, str, Any]] = [
    ("GET", "/messages/", None),
    ("POST", "/messages/search", {"query": "secret"}),
    ("POST", "/tools/run", {"source_code": "print(1)", "args": {}}),
    ("POST", "/tools/", {"source_code": "def x():\n    '''x'''\n    return 1"}),
    ("PUT", "/tools/", {"source_code": "def x():\n    '''x'''\n    return 1"}),
    ("PATCH", "/tools/{tool_id}", {"source_code": "def x(): ..."}),
    ("POST", "/agents/{agent_id}/tools/memory_insert/run", {"args": {}}),
    ("POST", "/mcp-servers/", {"server_name": "x", "config": {"command": "id"}}),
    ("POST", "/tools/mcp/servers/test", {"server_url": INSIDE}),
    ("PUT", "/tools/mcp/servers", {"server_url": INSIDE}),
    ("GET", "/providers/", None),
    ("POST", "/providers/", {"name": "x", "base_url": INSIDE, "api_key": "x"}),
    ("POST", "/groups/", {"agent_ids": ["{agent_id}"], "description": "x"}),
    ("GET", "/sandbox-config/", None),
    ("POST", "/sandbox-config/local", {}),
    ("GET", "/admin/orgs/", None),
    ("DELETE", "/admin/orgs/?org_id=org-1", None),
    ("GET", "/admin/users/", None),
    ("POST", "/identities/", {"identifier_key": "a", "name": "a", "identity_type": "user"}),
    ("POST", "/_internal_templates/agents", {}),
    ("GET", "/telemetry/{step_id}", None),
]


def test_opens_no_door_around_the_owner(
    alice: Caller, letta: Running, of_alice: Belongings
) -> None:
    letta.client.delete("/_sandbox/requests")

    for method, path, body in CLOSED:
        answer = alice(method, path.format_map(of_alice.values()), json=body)

        assert (method, path, answer.status_code) == (method, path, 403)
        assert answer.json()["code"] == "policy_operation_not_offered"

    assert letta.requests() == []


def test_imports_no_agent_file(alice: Caller, letta: Running, of_alice: Belongings) -> None:
    exported = alice("GET", f"/agents/{of_alice.agent_id}/export").content

    answer = alice("POST", "/agents/import", files={"file": ("x.af", exported)})

    assert (answer.status_code, answer.json()["code"]) == (403, "policy_operation_not_offered")
    assert "code" in answer.json()["detail"]
    assert letta.requests("import") == []


def test_gives_each_user_an_organization_of_their_own(
    alice: Caller, bob: Caller, letta: Running
) -> None:
    alice.create_agent()
    bob.create_agent()

    actors = {request["headers"]["user_id"] for request in letta.requests("^/v1/agents/$")}
    assert len(actors) == 2
    assert len(letta.requests("^/v1/admin/orgs/$")) == 2


@pytest.mark.parametrize("odd", ["agent-\1x", "agent-1/../2", "a" * 900_000, "ä"])
def test_finds_nothing_by_an_odd_id(alice: Caller, letta: Running, odd: str) -> None:
    agent_id = alice.create_agent()["id"]
    letta.client.delete("/_sandbox/requests")

    body = alice("PATCH", f"/agents/{agent_id}", json={"block_ids": [odd]})
    tool = alice("PATCH", f"/agents/{agent_id}", json={"tool_ids": [odd]})
    query = alice("GET", "/runs/", params={"agent_id": odd[:1000]})

    for answer in (body, tool, query):
        assert (answer.status_code, answer.json()["code"]) == (404, "caller_not_found")
    assert letta.requests() == []


def test_takes_no_nul_in_a_query(alice: Caller, letta: Running) -> None:
    answer = alice("GET", "/agents/?name=a%00b")

    assert (answer.status_code, answer.json()["code"]) == (422, "caller_field_invalid")
    assert letta.requests("^/v1/agents/") == []


@pytest.mark.parametrize("limit", ["9" * 20, "-1", "1e3", "\u0661", ""])
def test_takes_no_limit_that_letta_would_fail_at(alice: Caller, letta: Running, limit: str) -> None:
    answer = alice("GET", "/agents/", params={"limit": limit})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "limit")
    assert letta.requests("^/v1/agents/") == []


@pytest.mark.parametrize("window", [2**31, 2**63, 10**20])
def test_takes_no_number_that_each_turn_would_fail_at(
    alice: Caller, letta: Running, window: int
) -> None:
    answer = alice("POST", "/agents/", json={"model": MODEL, "context_window_limit": window})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "/context_window_limit"
    assert letta.requests("^/v1/agents/") == []


def test_takes_no_nul_in_metadata_that_letta_would_keep(alice: Caller, letta: Running) -> None:
    answer = alice("POST", "/agents/", json={"model": MODEL, "metadata": {"a": "\0"}})

    assert (answer.status_code, answer.json()["code"]) == (422, "caller_field_invalid")
    assert letta.requests("^/v1/agents/") == []


@pytest.mark.parametrize(
    "content",
    [
        b'{"k' + b"k" * 4_000_000 + b'":[' + b"0," * 3000 + b"0]}",
        b"[" * 200 + b"]" * 200,
        b"[" + b"0," * 400_000 + b"0]",
    ],
    ids=["long name", "deep", "many values"],
)
def test_is_not_kept_busy_by_an_unwieldy_message(
    alice: Caller, letta: Running, content: bytes
) -> None:
    agent_id = alice.create_agent()["id"]

    answer = alice(
        "POST",
        f"/agents/{agent_id}/messages",
        content=b'{"messages":[{"role":"user","content":[' + content + b"]}]}",
        headers={"content-type": "application/json"},
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "caller_field_invalid")
    assert letta.requests("/messages$") == []


def test_repeats_little_of_a_field_that_it_does_not_know(alice: Caller) -> None:
    answer = alice("POST", "/agents/", json={"x" * 900_000: 1})

    assert answer.json()["code"] == "caller_field_invalid"
    assert len(answer.content) < 2000


def test_makes_no_agent_whose_prompt_multiplies_its_memory(alice: Caller, letta: Running) -> None:
    blocks = [{"label": "human", "value": "x" * 20_000}]
    prompt = "{CORE_MEMORY}" * 1000

    answer = alice(
        "POST", "/agents/", json={"model": MODEL, "system": prompt, "memory_blocks": blocks}
    )

    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "/system")
    assert letta.requests("^/v1/agents/") == []
