"""Requests to Letta with an Idempotency-Key: sent on once, and answered as then."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from gateway_core.asgi import Message
from gateway_core.idempotency.carry import Recorder
from gateway_core.idempotency.models import IdempotencyRecord
from gateway_core.idempotency.outcomes import Answer
from gateway_core.proxy.exchange import Exchange
from gateway_project.sandbox.store import free_port
from letta_proxy import client
from letta_proxy.catalogue import CATALOGUE
from letta_proxy.once import is_streamed
from tests.conftest import Running
from tests.letta_proxy.conftest import EMBEDDING, MODEL, Caller
from tests.timing import wait_until

KEY = {"idempotency-key": "k-1"}
SENDS = r"^/v1/agents/[^/]+/messages$"
SLOW = "SLOW:10:0.05"


@pytest.fixture
def agent_id(alice: Caller) -> str:
    return str(alice.create_agent()["id"])


@pytest.fixture
def say(alice: Caller, agent_id: str, letta: Running) -> Callable[..., httpx.Response]:
    letta.client.delete("/_sandbox/requests")

    def send(text: str = "hi", **parts: Any) -> httpx.Response:
        parts = {"json": {"input": text}, "headers": KEY} | parts
        return alice("POST", f"/agents/{agent_id}/messages", **parts)

    return send


Say = Callable[..., httpx.Response]


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_gives_the_answer_to_a_message_again(say: Say, letta: Running) -> None:
    first, second = say(), say()

    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert first.headers["content-type"] == second.headers["content-type"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert len(letta.requests(SENDS)) == 1


def test_sends_each_message_without_a_key(say: Say, letta: Running) -> None:
    for _ in range(2):
        assert say(headers={}).status_code == 200

    assert len(letta.requests(SENDS)) == 2
    assert not IdempotencyRecord.objects.exists()


def test_compares_what_bodies_say(say: Say, letta: Running) -> None:
    kind = {**KEY, "content-type": "application/json"}
    say(headers=kind, json=None, content=b'{"input": "hi", "max_steps": 5}')

    same = say(headers=kind, json=None, content=b'{"max_steps":5,"input":"hi"}')
    other = say(headers=kind, json=None, content=b'{"max_steps":6,"input":"hi"}')

    assert same.headers["idempotent-replayed"] == "true"
    assert code_of(other) == (422, "caller_idempotency_key_reused")
    assert len(letta.requests(SENDS)) == 1


def test_keeps_agents_and_users_apart(alice: Caller, bob: Caller, say: Say) -> None:
    said = say().json()
    for caller in (alice, bob):
        target = f"/agents/{caller.create_agent()['id']}/messages"
        answer = caller("POST", target, json={"input": "hi"}, headers=KEY)
        assert answer.status_code == 200
        assert "idempotent-replayed" not in answer.headers
        assert answer.json()["messages"] != said["messages"]


def test_refuses_a_key_whose_message_is_under_way(say: Say, letta: Running) -> None:
    with ThreadPoolExecutor() as pool:
        first = pool.submit(say, SLOW)
        wait_until(lambda: bool(letta.requests(SENDS)))
        second = say(SLOW)

    assert code_of(second) == (409, "caller_idempotency_in_progress")
    assert second.headers["retry-after"] == "1"
    assert say(SLOW).content == first.result().content


def test_keeps_the_answer_for_whoever_left_before_it_came(
    alice: Caller, agent_id: str, say: Say, letta: Running
) -> None:
    with contextlib.suppress(httpx.ReadTimeout):
        say(SLOW, timeout=0.2)
    wait_until(lambda: IdempotencyRecord.objects.filter(state="answered").exists())

    answer = say(SLOW)

    assert answer.status_code == 200
    assert answer.headers["idempotent-replayed"] == "true"
    assert len(letta.requests(SENDS)) == 1
    assert not letta.requests("/cancel$")
    (run,) = alice.get(f"/runs/?agent_id={agent_id}")
    assert run["status"] == "completed"


def test_sends_a_message_once_however_often_it_comes_at_once(say: Say, letta: Running) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: say(), range(16)))

    told = Counter(answer.status_code for answer in answers)
    assert told[200] >= 1
    assert set(told) <= {200, 409}
    assert len(letta.requests(SENDS)) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/agents/{}/messages", {"streaming": True}),
        ("/agents/{}/messages/stream", {}),
        ("/conversations/{}/messages", {}),
        ("/conversations/{}/messages", {"streaming": True}),
    ],
)
def test_refuses_keys_with_streams(
    alice: Caller, agent_id: str, letta: Running, path: str, body: dict[str, Any]
) -> None:
    letta.client.delete("/_sandbox/requests")

    answer = alice("POST", path.format(agent_id), json={"input": "hi", **body}, headers=KEY)

    assert code_of(answer) == (400, "caller_request_malformed")
    assert answer.json()["error"]["param"] == "Idempotency-Key"
    assert not letta.requests("messages")


def test_takes_every_unknown_answer_for_a_stream() -> None:
    streaming = [one.name for one in CATALOGUE.operations if one.streams]
    exchange: Any = Exchange.__new__(Exchange)
    exchange.payload = {"input": "hi"}
    said = {}
    for exchange.operation in CATALOGUE.operations:
        said[exchange.operation.name] = is_streamed(exchange)

    assert {name for name, streams in said.items() if streams} == set(streaming) - {
        "send_message",
        "create_chat_completion",
    }


def test_refuses_keys_with_uploads(alice: Caller) -> None:
    folder = alice.post("/folders/", json={"name": "docs", "embedding": EMBEDDING})
    files = {"file": ("a.txt", b"hello", "text/plain")}

    answer = alice("POST", f"/folders/{folder['id']}/upload", files=files, headers=KEY)

    assert code_of(answer) == (400, "caller_request_malformed")


def test_makes_agents_and_background_runs_once(alice: Caller, agent_id: str) -> None:
    body = {"name": "Eve", "model": MODEL, "embedding": EMBEDDING}
    made = [alice.post("/agents/", json=body, headers=KEY)["id"] for _ in range(2)]
    runs = [
        alice.post(f"/agents/{agent_id}/messages/async", json={"input": "hi"}, headers=KEY)["id"]
        for _ in range(2)
    ]

    assert len(set(made)) == len(set(runs)) == 1
    assert alice.get(f"/runs/{runs[0]}")["id"] == runs[0]
    assert {agent["id"] for agent in alice.get("/agents/")} == {agent_id, made[0]}


def test_answers_messages_in_conversations_once(alice: Caller, agent_id: str) -> None:
    target = f"/conversations/{agent_id}/messages"
    body = {"input": "hi", "streaming": False}
    answers = [alice("POST", target, json=body, headers=KEY) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert answers[1].headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("status", [404, 409, 415, 422])
def test_frees_the_key_of_what_letta_refuses(say: Say, letta: Running, status: int) -> None:
    letta.fault(SENDS, status=status, body={"detail": "no"}, times=1)

    assert say().status_code == status
    assert say().status_code == 200
    assert "idempotent-replayed" in say().headers


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503},
        {"status": 429},
        {"status": 402},
        {"status": 401},
        {"status": 400, "body": {"detail": "CONTEXT_WINDOW_EXCEEDED: too long"}},
        {"cut_after": 0},
        {"cut_after": 20},
        {"garbage": True},
    ],
    ids=str,
)
def test_does_not_repeat_what_letta_may_have_begun(
    say: Say, letta: Running, fault: dict[str, Any]
) -> None:
    letta.fault(SENDS, **fault, times=1)
    first = say()

    assert first.status_code >= 400
    assert code_of(say()) == (409, "caller_idempotency_outcome_unknown")
    assert len(letta.requests(SENDS)) == 1


def test_does_not_repeat_what_letta_was_too_slow_with(
    say: Say, letta: Running, settings: Any
) -> None:
    settings.LETTA_TIMEOUT = 0.2
    letta.fault(SENDS, delay=1.0, times=1)

    assert code_of(say()) == (504, "upstream_timeout")
    assert code_of(say()) == (409, "caller_idempotency_outcome_unknown")


def test_tells_sdks_not_to_repeat_what_may_have_been_done(
    say: Say, letta: Running, settings: Any
) -> None:
    settings.LETTA_TIMEOUT = 0.2
    letta.fault(SENDS, delay=1.0)

    unkeyed, keyed = say(headers={}), say()

    assert code_of(unkeyed) == code_of(keyed) == (504, "upstream_timeout")
    assert unkeyed.headers["x-should-retry"] == "false"
    assert unkeyed.json()["retryable"] is False
    assert "look before you repeat it" in unkeyed.json()["detail"]
    assert keyed.json()["retryable"] is True  # it is not done again
    assert "x-should-retry" not in keyed.headers


def test_lets_sdks_repeat_what_never_reached_letta(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.connections(), "base_url", f"http://127.0.0.1:{free_port()}")

    assert say(headers={}).json()["retryable"] is True


def test_frees_the_key_of_what_never_reached_letta(
    say: Say, letta: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(client.connections(), "base_url", f"http://127.0.0.1:{free_port()}")
        assert code_of(say()) == (503, "upstream_unreachable")

    assert say().status_code == 200
    assert len(letta.requests(SENDS)) == 1


def test_frees_the_key_of_what_is_not_allowed(bob: Caller, agent_id: str) -> None:
    answers = [
        bob("POST", f"/agents/{agent_id}/messages", json={"input": "hi"}, headers=KEY),
        bob("POST", f"/agents/{agent_id}/messages", json={"input": "ho"}, headers=KEY),
    ]

    assert [code_of(answer) for answer in answers] == [(404, "caller_not_found")] * 2
    assert not IdempotencyRecord.objects.exists()


def test_says_that_an_answer_was_too_large_to_keep(say: Say, letta: Running, settings: Any) -> None:
    settings.IDEMPOTENCY_MAX_BYTES = 10

    assert say().status_code == 200
    assert code_of(say()) == (409, "caller_idempotency_answer_not_kept")
    assert len(letta.requests(SENDS)) == 1


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_refuses_what_is_no_key(say: Say, letta: Running, key: str) -> None:
    assert code_of(say(headers={"idempotency-key": key})) == (400, "caller_request_malformed")
    assert not letta.requests(SENDS)


def test_refuses_what_is_nested_too_deeply_to_be_compared(say: Say) -> None:
    deep: Any = "hi"
    for _ in range(400):
        deep = [deep]

    assert code_of(say(json={"input": deep})) == (400, "caller_request_malformed")


def test_leaves_other_methods_alone(alice: Caller, agent_id: str) -> None:
    for _ in range(2):
        answer = alice("PATCH", f"/agents/{agent_id}", json={"name": "Eve"}, headers=KEY)
        assert answer.status_code == 200
        assert "idempotent-replayed" not in answer.headers

    assert not IdempotencyRecord.objects.exists()


def test_keeps_what_was_said_encrypted(say: Say) -> None:
    assert say("a secret of mine").status_code == 200

    assert "secret" not in str(IdempotencyRecord.objects.values())


@pytest.mark.parametrize(
    ("kind", "kept"), [("application/json", b"ab"), ("text/event-stream; charset=utf-8", None)]
)
async def test_keeps_the_answer_before_its_last_bytes_go_out(kind: str, kept: bytes | None) -> None:
    events: list[Any] = []

    async def send(message: Message) -> None:
        events.append(message.get("body", message["type"]))

    async def keep(answer: Answer) -> None:
        events.append(answer)

    recorder = Recorder(send, keep)
    headers = [(b"content-type", kind.encode()), (b"x-request-id", b"r")]
    await recorder({"type": "http.response.start", "status": 200, "headers": headers})
    await recorder({"type": "http.response.body", "body": b"a", "more_body": True})
    await recorder({"type": "http.response.body", "body": b"b"})

    answer = Answer(status=200, headers=(("content-type", kind),), body=kept)
    assert events == ["http.response.start", b"a", answer, b"b"]
