"""What becomes of a run when its caller hangs up."""

from __future__ import annotations

import contextlib
from typing import Any

import httpx
import orjson
import pytest

from letta_proxy import abandoned
from tests.conftest import Running
from tests.letta_proxy.conftest import Caller
from tests.timing import wait_until

SLOW = "SLOW:100:0.05"


def leave(caller: Caller, path: str, **body: Any) -> None:
    """Read the beginning of a stream, and hang up."""
    with caller.client.stream("POST", f"/api/v1/letta/v1{path}", json=body) as answer:
        answer.raise_for_status()
        next(answer.iter_lines())


def only_run(caller: Caller, agent_id: str) -> dict[str, Any]:
    (run,) = caller.get(f"/runs/?agent_id={agent_id}")
    return dict(run)


def is_cancelled(caller: Caller, agent_id: str) -> bool:
    return bool(only_run(caller, agent_id)["status"] == "cancelled")


@pytest.mark.parametrize("path", ["/agents/{}/messages/stream", "/conversations/{}/messages"])
def test_cancels_the_run_whose_stream_is_left(alice: Caller, letta: Running, path: str) -> None:
    agent_id = alice.create_agent()["id"]

    leave(alice, path.format(agent_id), input=SLOW, streaming=True, stream_tokens=True)

    wait_until(lambda: is_cancelled(alice, agent_id))
    (asked,) = letta.requests("/cancel$")
    assert orjson.loads(asked["body"]) == {"run_ids": [only_run(alice, agent_id)["id"]]}


def test_cancels_the_run_of_a_conversation(alice: Caller) -> None:
    agent_id = alice.create_agent()["id"]
    conversation = alice.post(f"/conversations/?agent_id={agent_id}", json={})

    leave(alice, f"/conversations/{conversation['id']}/messages", input=SLOW, stream_tokens=True)

    wait_until(lambda: is_cancelled(alice, agent_id))


def test_cancels_the_run_whose_answer_is_not_waited_for(alice: Caller) -> None:
    agent_id = alice.create_agent()["id"]

    with contextlib.suppress(httpx.ReadTimeout):
        alice("POST", f"/agents/{agent_id}/messages", json={"input": SLOW}, timeout=0.3)

    wait_until(lambda: is_cancelled(alice, agent_id))


def test_cancels_the_run_whose_stream_the_gateway_ends(alice: Caller, letta: Running) -> None:
    agent_id = alice.create_agent()["id"]
    path = f"/api/v1/letta/v1/agents/{agent_id}/messages/stream"
    with alice.client.stream("POST", path, json={"input": SLOW, "stream_tokens": True}) as answer:
        lines = answer.iter_lines()
        run_id = only_run(alice, agent_id)["id"] if next(lines) else ""
        alice.client.post("/api/v1/me/sign-out").raise_for_status()
        assert any("caller_token_revoked" in line for line in lines)

    wait_until(lambda: letta.requests("/cancel$"))
    (asked,) = letta.requests("/cancel$")
    assert orjson.loads(asked["body"]) == {"run_ids": [run_id]}


def test_leaves_the_agents_other_runs_alone_when_letta_has_not_named_it(
    alice: Caller, letta: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abandoned, "_SKEW_SECONDS", 0)
    agent_id = alice.create_agent()["id"]
    path = f"/agents/{agent_id}/messages"
    in_background = alice("POST", f"{path}/async", json={"input": SLOW}).json()["id"]
    heard = {"input": SLOW, "stream_tokens": True}
    with alice.client.stream("POST", f"/api/v1/letta/v1{path}/stream", json=heard) as answer:
        lines = answer.iter_lines()
        next(lines)
        before = {run["id"] for run in alice.get(f"/runs/?agent_id={agent_id}")}
        with pytest.raises(httpx.ReadTimeout):
            alice("POST", path, json={"input": SLOW}, timeout=0.3)

        wait_until(lambda: letta.requests("/cancel$"))
        (left,) = {run["id"] for run in alice.get(f"/runs/?agent_id={agent_id}")} - before

    asked = letta.requests("/cancel$")[0]
    assert orjson.loads(asked["body"]) == {"run_ids": [left]}
    assert in_background in before


def test_lets_a_run_in_the_background_go_on(alice: Caller, letta: Running) -> None:
    agent_id = alice.create_agent()["id"]

    leave(
        alice,
        f"/agents/{agent_id}/messages/stream",
        input="SLOW:6:0.05",
        background=True,
        stream_tokens=True,
    )

    wait_until(lambda: only_run(alice, agent_id)["status"] == "completed")
    assert letta.requests("/cancel$") == []


def test_leaves_a_run_alone_that_was_read_to_its_end(alice: Caller, letta: Running) -> None:
    agent_id = alice.create_agent()["id"]

    alice("POST", f"/agents/{agent_id}/messages/stream", json={"input": "hi"}).raise_for_status()

    assert only_run(alice, agent_id)["status"] == "completed"
    assert letta.requests("/cancel$") == []


def test_asks_again_when_letta_has_not_yet_begun(
    alice: Caller, letta: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abandoned, "_PAUSES", (0.0, 0.01, 0.01))
    agent_id = alice.create_agent()["id"]
    letta.fault("/messages/cancel$", status=409, times=1)

    leave(alice, f"/agents/{agent_id}/messages/stream", input=SLOW, stream_tokens=True)

    wait_until(lambda: is_cancelled(alice, agent_id))
    assert len(letta.requests("/cancel$")) == 2


def test_cancels_nothing_for_a_caller_who_leaves_the_queue(
    alice: Caller, letta: Running, settings: Any
) -> None:
    settings.LETTA_MAX_TURNS = 1
    agent_id = alice.create_agent()["id"]
    path = f"/agents/{agent_id}/messages"
    sent = {"input": "SLOW:10:0.05", "stream_tokens": True}
    stream = f"/api/v1/letta/v1{path}/stream"
    with alice.client.stream("POST", stream, json=sent) as answer:
        answer.raise_for_status()
        lines = answer.iter_lines()
        next(lines)
        with pytest.raises(httpx.ReadTimeout):
            alice("POST", path, json={"input": "hi"}, timeout=0.1)
        list(lines)

    assert only_run(alice, agent_id)["status"] == "completed"
    assert letta.requests("/cancel$") == []
