"""The kinds of requests that meet a failure, and those who make them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import httpx
import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.end_to_end.killable_gateway import KillableGateway
    from tests.failures.world import Person, World

    # Method, path, who, and what goes with it.
    _Request = tuple[str, str, Person | str | None, dict[str, Any]]

_BEGIN_SECONDS: Final = 10.0
_MODEL: Final = "stub/fast"
_STREAM: Final = "stub/s-n12-d100"
_STREAMS_SLOWLY: Final = "SLOW:12:0.1"
_HI: Final = [{"role": "user", "content": "hi"}]
_CHAT: Final = "/api/v1/llm/v1/chat/completions"
_QUICK_CHAT: Final = {"model": _MODEL, "messages": _HI}
_SLOW_CHAT: Final = {"model": _STREAM, "messages": _HI, "stream": True}


class Kind(StrEnum):
    """What is asked of the gateway."""

    MODEL_CALL = "a model call"
    NEW_MODEL_CALL = "a new user's model call"
    STREAM = "a stream under way"
    LETTA_READ = "a Letta read"
    LETTA_TURN = "a Letta turn"
    LETTA_STREAM = "a Letta stream under way"
    AGENT_CALL = "an agent's model call"
    AGENT = "an agent's creation"
    ME = "/me"
    NEW_ME = "a new user's /me"
    API_KEY = "an API key's creation"
    SUSPENDED = "a suspended user's call"
    REVOKED = "a call with a revoked key"
    SIGNED_OUT = "a call of a session that was signed out"
    READY = "/ready"
    ADMIN = "a page of the admin"


STREAMS: Final = (Kind.STREAM, Kind.LETTA_STREAM)
# What is answered before anything fails, so that the process knows who asks.
_KNOWN_FROM: Final = (
    Kind.MODEL_CALL,
    Kind.LETTA_READ,
    Kind.LETTA_TURN,
    Kind.AGENT_CALL,
    Kind.ME,
    Kind.ADMIN,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a request; of a stream, the code is what its last error says."""

    status: int
    code: str
    seconds: float
    request_id: str


@dataclass
class Cast:
    """Those who make the requests of a case: who is known, and who was shut out before it.

    Attributes:
        orders: request bodies of agents' creations, by Idempotency-Key.
        asked: what has been asked, with its outcome.
    """

    world: World
    gateway: KillableGateway
    known: Person = field(init=False)
    agent_id: str = field(init=False)
    agents_secret: str = field(init=False)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[Kind, Outcome]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.known = self.world.person("known")
        self.agents_secret = self.world.agents_secret(self.known)
        self.template_id = self.world.template(self.gateway, self.known)
        self.agent_id = self._make_agent()
        self._streaming_id = self._make_agent()  # an agent has one turn at a time
        self._shut_out()
        for kind in _KNOWN_FROM:
            healthy = self.ask(kind)
            assert healthy.status == httpx.codes.OK, (kind, healthy)

    def _make_agent(self) -> str:
        made = self.send("POST", "/api/v1/agents", self.known, json=self._order())
        return str(made.raise_for_status().json()["agent"]["id"])

    def _shut_out(self) -> None:
        self._suspended = self.world.person("suspended")
        self._signed_out = self.world.person("signed-out")
        for person in (self._suspended, self._signed_out):
            self.send("GET", "/api/v1/me", person).raise_for_status()
        self.world.suspend(self._suspended)
        self.send("POST", "/api/v1/me/sign-out", self._signed_out).raise_for_status()
        key_id, self._revoked = self.issue_key()
        self.send("DELETE", f"/api/v1/llm/keys/{key_id}", self.known).raise_for_status()

    def issue_key(self) -> tuple[str, str]:
        """Make the known user an API key, and return its id and its secret."""
        method, path, who, parts = _new_key(self.known)
        issued = self.send(method, path, who, **parts).raise_for_status().json()
        return issued["id"], issued["secret"]

    def ask(self, kind: Kind) -> Outcome:
        """Make a request and return what came of it."""
        return self._outcome(kind, *self._request(kind))

    def begin_stream(self, kind: Kind) -> Future[Outcome]:
        """Begin one of ``STREAMS``, and return when its first words are there."""
        begun = threading.Event()
        future: Future[Outcome] = Future()
        thread = threading.Thread(target=self._stream, args=(kind, begun, future), daemon=True)
        thread.start()
        assert begun.wait(_BEGIN_SECONDS)
        return future

    def order_again(self, key: str) -> httpx.Response:
        """Repeat an agent's creation."""
        return self.send(
            "POST",
            "/api/v1/agents",
            self.known,
            json=self.orders[key],
            headers={"idempotency-key": key},
        )

    def agents_named(self, name: str) -> list[str]:
        """Return the ids of the agents of that name that Letta has of the known user."""
        rows = self.world.query(
            "SELECT letta_user_id FROM letta_proxy_lettaaccount WHERE user_id = %s", self.known.id
        )
        letta = self.world.letta
        headers = {
            "authorization": f"Bearer {letta.credentials['LETTA_API_KEY']}",
            "user_id": rows[0][0],
        }
        listed = letta.client.get("/v1/agents/", params={"limit": 200}, headers=headers)
        return [row["id"] for row in listed.raise_for_status().json() if row["name"] == name]

    def _request(self, kind: Kind) -> _Request:
        agent = f"/api/v1/letta/v1/agents/{self.agent_id}"
        stream = f"/api/v1/letta/v1/agents/{self._streaming_id}/messages/stream"
        messages = {"json": {"messages": _HI}}
        told = [{"role": "user", "content": _STREAMS_SLOWLY}]
        slow = {"json": {"messages": told, "streaming": True, "stream_tokens": True}}
        proxy = f"/api/v1/agents/{self.known.id}/proxy/chat/completions"
        requests: dict[Kind, Callable[[], _Request]] = {
            Kind.MODEL_CALL: lambda: _chat(self.known),
            Kind.NEW_MODEL_CALL: lambda: _chat(self.world.person("new")),
            Kind.LETTA_READ: lambda: ("GET", agent, self.known, {}),
            Kind.LETTA_TURN: lambda: ("POST", f"{agent}/messages", self.known, messages),
            Kind.LETTA_STREAM: lambda: ("POST", stream, self.known, slow),
            Kind.STREAM: lambda: ("POST", _CHAT, self.known, {"json": _SLOW_CHAT}),
            Kind.AGENT_CALL: lambda: ("POST", proxy, self.agents_secret, {"json": _QUICK_CHAT}),
            Kind.AGENT: self._new_order,
            Kind.ME: lambda: ("GET", "/api/v1/me", self.known, {}),
            Kind.NEW_ME: lambda: ("GET", "/api/v1/me", self.world.person("new"), {}),
            Kind.API_KEY: lambda: _new_key(self.world.person("keys")),
            Kind.SUSPENDED: lambda: _chat(self._suspended),
            Kind.REVOKED: lambda: _chat(self._revoked),
            Kind.SIGNED_OUT: lambda: _chat(self._signed_out),
            Kind.READY: lambda: ("GET", "/api/v1/system/ready", None, {}),
            Kind.ADMIN: lambda: ("GET", "/admin/accounts/user/", None, {}),
        }
        return requests[kind]()

    def _new_order(self) -> _Request:
        key = uuid4().hex
        self.orders[key] = self._order()
        parts = {"json": self.orders[key], "headers": {"idempotency-key": key}}
        return "POST", "/api/v1/agents", self.known, parts

    def _order(self) -> dict[str, Any]:
        return {
            "template_id": self.template_id,
            "variables": {"user_name": "Ann"},
            "agent_name": uuid4().hex,
        }

    def _outcome(
        self, kind: Kind, method: str, path: str, who: Person | str | None, parts: dict[str, Any]
    ) -> Outcome:
        began = time.monotonic()
        if kind is Kind.ADMIN:
            parts = {**parts, "headers": self.world.admin}
        answer = self.send(method, path, who, **parts)
        outcome = Outcome(
            status=answer.status_code,
            code=_code(answer),
            seconds=time.monotonic() - began,
            request_id=answer.headers["x-request-id"],
        )
        self.asked.append((kind, outcome))
        return outcome

    def send(
        self, method: str, path: str, who: Person | str | None, **parts: Any
    ) -> httpx.Response:
        headers = parts.pop("headers", {})
        token = getattr(who, "token", who)
        if token:
            headers = {**headers, "authorization": f"Bearer {token}"}
        return self.world.client.request(method, self.gateway.url + path, headers=headers, **parts)

    def _stream(self, kind: Kind, begun: threading.Event, future: Future[Outcome]) -> None:
        began = time.monotonic()
        method, path, who, parts = self._request(kind)
        headers = {"authorization": f"Bearer {getattr(who, 'token', who)}"}
        url, code = self.gateway.url + path, "broken off"
        with self.world.client.stream(method, url, headers=headers, **parts) as answer:
            for line in answer.iter_lines():
                if '"content"' in line:  # and no ping: the model is answering
                    begun.set()
                code = _code_of_line(line, code)
        outcome = Outcome(
            status=answer.status_code,
            code=code,
            seconds=time.monotonic() - began,
            request_id=answer.headers["x-request-id"],
        )
        self.asked.append((kind, outcome))
        future.set_result(outcome)


def _chat(who: Person | str) -> _Request:
    return "POST", _CHAT, who, {"json": _QUICK_CHAT}


def _new_key(who: Person) -> _Request:
    return "POST", "/api/v1/llm/keys", who, {"json": {"name": uuid4().hex, "scopes": ["llm"]}}


def _code(answer: httpx.Response) -> str:
    if "problem" not in answer.headers.get("content-type", ""):
        return ""
    return str(answer.json()["code"])


def _code_of_line(line: str, before: str) -> str:
    """Return what a line of a stream says of its end: the code of an error, or none at [DONE]."""
    data = line.removeprefix("data:").strip()
    if data == "[DONE]":
        return "" if before == "broken off" else before
    if not line.startswith("data:"):
        return before
    event = orjson.loads(data)
    return str(event.get("code") or event.get("error_type") or before)
