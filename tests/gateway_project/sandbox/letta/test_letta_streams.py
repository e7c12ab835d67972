"""The bytes of streams, and what becomes of a run whose readers leave or cancel."""

from __future__ import annotations

import json

import httpx
import pytest

from gateway_project.sandbox.letta import create_app
from gateway_project.sandbox.serving import LoopbackServer
from tests.gateway_project.sandbox.letta.conftest import Tenant, frames
from tests.timing import wait_until

_USER = {"role": "user"}


def _messages(text: str) -> list[dict[str, str]]:
    return [{**_USER, "content": text}]


def _body(text: str, **given: object) -> dict[str, object]:
    return {"messages": _messages(text), **given}


def _kinds(events: list[dict[str, str]]) -> list[str]:
    return [event["message_type"] for event in events]


def _status(alice: Tenant, run_id: str) -> str:
    return str(alice.http.get(f"/v1/runs/{run_id}").json()["status"])


def test_sends_data_frames_without_headers_against_buffering(alice: Tenant) -> None:
    path = f"/v1/agents/{alice.agent()}/messages/stream"
    answer = alice.http.post(path, json=_body("hi there", stream_tokens=True))
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert not {"cache-control", "x-accel-buffering"} & set(answer.headers)
    parts = answer.text.split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""]
    assert all(part.startswith("data: ") for part in parts[:-1])
    assert parts[-4] == 'data: {"message_type":"stop_reason","stop_reason":"end_turn"}'
    words = [e["content"] for e in frames(answer.text) if e["message_type"] == "assistant_message"]
    assert words == ["stub ", "says: ", "hi ", "there"]


def test_begins_with_a_ping_unless_told_not_to(alice: Tenant) -> None:
    agent_id = alice.agent()
    assert alice.stream(agent_id, "x")[0]["message_type"] == "ping"
    quiet = alice.stream(agent_id, "x", include_pings=False)
    assert quiet[0]["message_type"] == "assistant_message"


def test_streams_tool_calls_in_pieces(alice: Tenant) -> None:
    text = 'TOOL:memory_insert {"label":"human","new_string":"tea"}'
    events = alice.stream(alice.agent(), text, stream_tokens=True)
    calls = [e["tool_call"] for e in events if e["message_type"] == "tool_call_message"]
    assert calls[0]["name"] == "memory_insert"
    arguments = "".join(call.get("arguments", "") for call in calls)
    assert json.loads(arguments) == {"label": "human", "new_string": "tea"}


def test_reports_a_model_error_inside_the_stream(alice: Tenant) -> None:
    path = f"/v1/agents/{alice.agent()}/messages/stream"
    answer = alice.http.post(path, json=_body("ERR:429"))
    assert answer.status_code == 200
    _, stop, error, done, _ = answer.text.split("\n\n")
    assert stop == 'data: {"message_type":"stop_reason","stop_reason":"llm_api_error"}'
    name, data = error.split("\n")
    assert name == "event: error"
    assert json.loads(data[6:])["error_type"] == "llm_rate_limit"
    assert done == "data: [DONE]"


def test_ends_a_background_error_without_done(alice: Tenant) -> None:
    path = f"/v1/agents/{alice.agent()}/messages/stream"
    answer = alice.http.post(path, json=_body("ERR:429", background=True))
    assert "[DONE]" not in answer.text
    assert _kinds(frames(answer.text)) == ["ping", "stop_reason", "error_message"]


def test_goes_on_when_the_reader_leaves(alice: Tenant) -> None:
    agent_id = alice.agent()
    path = f"/v1/agents/{agent_id}/messages/stream"
    body = _body("SLOW:6:0.03", stream_tokens=True)
    with alice.http.stream("POST", path, json=body) as answer:
        first = next(answer.iter_lines())
    run_id = json.loads(first[6:])["run_id"]
    wait_until(lambda: _status(alice, run_id) == "completed")
    last = alice.http.get(f"/v1/agents/{agent_id}/messages").json()[-1]
    assert last["content"] == "w0 w1 w2 w3 w4 w5"


def test_resumes_without_a_gap_while_the_run_goes_on(alice: Tenant) -> None:
    path = f"/v1/agents/{alice.agent()}/messages/stream"
    body = _body("SLOW:8:0.03", stream_tokens=True, background=True)
    seen: list[dict[str, object]] = []
    with alice.http.stream("POST", path, json=body) as answer:
        for line in answer.iter_lines():
            seen += frames(line)
            if len(seen) == 3:
                break
    run_path = f"/v1/runs/{seen[0]['run_id']}/stream"
    rest = frames(alice.http.post(run_path, json={"starting_after": 3}).text)
    assert [e["seq_id"] for e in (seen + rest)[:-2]] == list(range(1, 10))
    words = [e.get("content", "") for e in seen + rest]
    assert "".join(map(str, words)) == "w0 w1 w2 w3 w4 w5 w6 w7"


@pytest.mark.parametrize("background", [False, True])
def test_cancels_a_run(alice: Tenant, *, background: bool) -> None:
    agent_id = alice.agent()
    path = f"/v1/agents/{agent_id}/messages"
    body = _body("SLOW:40:0.05", stream_tokens=True, background=background)
    with alice.http.stream("POST", f"{path}/stream", json=body) as answer:
        lines = answer.iter_lines()
        run_id = json.loads(next(lines)[6:])["run_id"]
        assert alice.http.post(f"{path}/cancel", json={}).json() == {run_id: "cancelled"}
        rest = [line for line in lines if line]
    cancelled = 'data: {"message_type": "stop_reason", "stop_reason": "cancelled"}'
    assert rest[-2:] == [cancelled, "data: [DONE]"] if background else rest[-1] == cancelled
    assert _status(alice, run_id) == "cancelled"
    kinds = _kinds(alice.http.get(path).json())
    assert kinds == ["system_message", "user_message"]


def test_reports_the_last_run_as_cancelled_when_nothing_runs(alice: Tenant) -> None:
    agent_id = alice.agent()
    cancel = f"/v1/agents/{agent_id}/messages/cancel"
    assert alice.http.post(cancel, json={}).status_code == 409
    run_id = alice.stream(agent_id, "x")[0]["run_id"]
    assert alice.http.post(cancel, json={}).json() == {run_id: "cancelled"}
    assert _status(alice, run_id) == "completed"


def test_locks_a_conversation_against_a_second_stream_only(alice: Tenant) -> None:
    agent_id = alice.agent()
    conversation_id = alice.make(f"/v1/conversations/?agent_id={agent_id}")["id"]
    path = f"/v1/conversations/{conversation_id}/messages"
    with alice.http.stream("POST", path, json=_body("SLOW:40:0.05")) as answer:
        run_id = json.loads(next(answer.iter_lines())[6:])["run_id"]
        busy = alice.http.post(path, json=_body("second"))
        assert (busy.status_code, busy.json()["run_id"]) == (409, run_id)
        assert alice.http.post(path, json=_body("x", streaming=False)).status_code == 200
        assert alice.send(agent_id, "x").status_code == 200
        cancel = alice.http.post(f"/v1/conversations/{conversation_id}/cancel")
        assert cancel.json() == {run_id: "cancelled"}
    assert alice.http.post(path, json=_body("third")).status_code == 200


def test_refuses_to_resume_what_was_not_in_the_background(alice: Tenant) -> None:
    run_id = alice.stream(alice.agent(), "x")[0]["run_id"]
    answer = alice.http.post(f"/v1/runs/{run_id}/stream", json={})
    assert answer.status_code == 400
    assert "not created in background mode" in answer.json()["detail"]
    assert alice.http.get(f"/v1/runs/{run_id}/stream").status_code == 405


def test_waits_for_a_person_and_obeys(alice: Tenant) -> None:
    agent_id = alice.agent()
    alice.http.patch(
        f"/v1/agents/{agent_id}/tools/approval/memory_insert", json={"requires_approval": True}
    )
    text = 'TOOL:memory_insert {"label":"human","new_string":"tea"}'
    events = alice.stream(agent_id, text)
    assert _kinds(events)[1:3] == ["approval_request_message", "stop_reason"]
    refused = alice.send(agent_id, "hello")
    assert refused.status_code == 409
    assert refused.json()["detail"]["code"] == "PENDING_APPROVAL"
    assert _kinds(alice.stream(agent_id, "hello")) == ["ping", "stop_reason", "error_message"]
    call_id = events[1]["tool_call"]["tool_call_id"]
    decision = {"type": "approval", "approve": True, "tool_call_id": call_id}
    approval = {"type": "approval", "approvals": [decision]}
    answer = alice.make(f"/v1/agents/{agent_id}/messages", messages=[approval])
    assert _kinds(answer["messages"]) == ["tool_return_message", "assistant_message"]
    block = alice.http.get(f"/v1/agents/{agent_id}/core-memory/blocks/human").json()
    assert block["value"].endswith("tea")


def test_streams_in_openais_format(alice: Tenant) -> None:
    agent_id = alice.agent()
    body = {"model": agent_id, "messages": _messages("a b")}
    assert alice.http.post("/v1/chat/completions", json=body).status_code == 400
    answer = alice.http.post("/v1/chat/completions", json=body | {"stream": True})
    chunks = [chunk["choices"][0] for chunk in frames(answer.text)]
    assert "".join(c["delta"]["content"] or "" for c in chunks) == "stub says: a b"
    assert chunks[-1]["finish_reason"] == "stop"
    assert answer.text.endswith("data: [DONE]\n\n")


def test_pings_a_silent_stream() -> None:
    app = create_app(password="p", allow_default_actor=True, keepalive_seconds=0.02)
    headers = {"authorization": "Bearer p"}
    with (
        LoopbackServer().start(app) as server,
        httpx.Client(base_url=server.url, headers=headers) as client,
    ):
        client.post("/v1/tools/add-base-tools")
        agent = {"model": "openai-proxy/stub-chat"}
        agent_id = client.post("/v1/agents/", json=agent).json()["id"]
        path = f"/v1/agents/{agent_id}/messages/stream"
        events = frames(client.post(path, json=_body("SLOW:4:0.05")).text)
    assert _kinds(events).count("ping") > 2
    assert _kinds(events)[-3:] == ["assistant_message", "stop_reason", "usage_statistics"]
