from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from gateway_core.room import USERS
from gateway_project import incoming
from gateway_project.entrance import entrance
from tests.gateway_project.waiting import answer_on, sent
from tests.timing import wait_until

_PIECE = b" " * 65_536
_MB = 1024 * 1024
_LARGER = {
    "agent-import-file": "MAX_AGENT_FILE_BYTES",
    "template-import-bundle": "MAX_BUNDLE_BYTES",
    "template-publish": "MAX_TEMPLATE_BYTES",
    "template-validate": "MAX_TEMPLATE_BYTES",
    "ams-publish": "MAX_TEMPLATE_BYTES",
    "ams-validate": "MAX_TEMPLATE_BYTES",
    "templates_app_templateversion_add": "MAX_TEMPLATE_BYTES",
}
_HEAD = "Content-Length: 16000000"
SignIn = Callable[[str], httpx.Client]


@pytest.fixture
def small(settings: Any) -> int:
    for name in ("MAX_JSON_BYTES", "MAX_TEMPLATE_BYTES", "MAX_BUNDLE_BYTES"):
        setattr(settings, name, 1_000)
    settings.MAX_AGENT_FILE_BYTES = 2_000_000
    return 2_000_000


@pytest.fixture
def narrow(settings: Any) -> int:
    """Leave room for so many bytes of strangers' bodies."""
    settings.MAX_HELD_BYTES = 8 * 256 * 1024
    return 256 * 1024


def pieces(sent: list[int], count: int) -> Iterator[bytes]:
    for _ in range(count):
        sent.append(len(_PIECE))
        yield _PIECE


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("path", ["/api/v1/none", "/admin/login/", "/api/v1/system/info"])
def test_takes_no_more_of_a_strangers_body_than_that_view_would(gateway: str, path: str) -> None:
    sent: list[int] = []

    with httpx.Client(base_url=gateway) as stranger:
        try:
            answer = stranger.post(path, content=pieces(sent, 2_000))
        except httpx.TransportError:  # the answer came before all was sent
            answer = None

    assert sum(sent) < 100_000_000
    if answer is not None:
        assert (answer.status_code, answer.json()["code"]) == (413, "caller_body_too_large")
        assert "larger than 1000 bytes" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/api/v1/agents/import", "/api/v1/agents/import/", "/api/v1/me"])
@pytest.mark.parametrize("fields", [(), ("Authorization: Bearer none",)])
@pytest.mark.parametrize("length", [_HEAD, "Transfer-Encoding: chunked"])
def test_refuses_who_is_nobody_before_anything_of_the_body_is_there(
    gateway: str, path: str, fields: tuple[str, ...], length: str
) -> None:
    with sent(gateway, path, *fields, length) as connection:
        answer = answer_on(connection)

    assert answer.status_code == 401
    assert answer.json()["code"] in {"caller_token_missing", "caller_token_invalid"}


def test_says_so_to_whoever_has_sent_it_all(client_for: SignIn, small: int) -> None:
    alice = client_for("alice@example.com")

    answer = alice.post("/api/v1/agents/import", content=b" " * (small + 1))

    assert (answer.status_code, answer.json()["code"]) == (413, "caller_body_too_large")
    assert "2000000 bytes" in answer.json()["detail"]
    assert answer.headers["x-request-id"]
    assert alice.get("/api/v1/me").status_code == 200
    taken = alice.post("/api/v1/agents/import", content=b" " * small)
    assert taken.json()["code"] == "caller_request_malformed"


def test_takes_large_bodies_where_a_route_says_so_and_nowhere_else(
    client_for: SignIn, gateway: str
) -> None:
    alice = client_for("alice@example.com")
    token = f"Authorization: {alice.headers['authorization']}"
    for path in ("/api/v1/agents", "/api/v1/llm/keys", "/api/v1/agents/create", "/api/v1/me"):
        with sent(gateway, path, token, _HEAD) as connection:
            assert answer_on(connection).status_code == 413
    with sent(gateway, "/api/v1/agents/import", token, _HEAD):
        wait_until(lambda: USERS.held() > 0)
    wait_until(lambda: USERS.held() == 0)


def test_every_route_takes_as_much_as_it_says(settings: Any) -> None:
    settings.MAX_TEMPLATE_BYTES = 3 * _MB
    sizes = {name: entrance(_scope(path)).most_bytes for name, path in _posts(get_resolver(), "/")}

    larger = {name: size for name, size in sizes.items() if size != settings.MAX_JSON_BYTES}
    assert larger == {name: getattr(settings, setting) for name, setting in _LARGER.items()}
    assert len(sizes) > 100


def test_leaves_room_to_others_whatever_one_stranger_has_sent(
    gateway: str, client_for: SignIn, narrow: int
) -> None:
    alice = client_for("alice@example.com")
    with ExitStack() as waiting:
        one = sent(gateway, "/admin/login/", "Content-Length: 100000", body=b"x" * 1000)
        waiting.enter_context(one)
        wait_until(lambda: 65_536 < incoming._strangers.held() <= narrow // 2)
        another = sent(gateway, "/api/v1/none", "Content-Length: 100000", body=b"x" * 1000)
        answer = answer_on(waiting.enter_context(another))
        assert (answer.status_code, answer.json()["code"]) == (503, "gateway_overloaded")
        assert answer.headers["retry-after"] == "1"
        made = alice.post("/api/v1/llm/keys", json={"name": "cron", "scopes": ["llm"]})
        assert made.status_code == 201
    wait_until(lambda: incoming._strangers.held() == 0)
    with httpx.Client(base_url=gateway) as stranger:
        assert stranger.post("/api/v1/none", content=b"x" * 1000).status_code == 404
    wait_until(lambda: incoming._strangers.held() == 0)


@pytest.mark.usefixtures("narrow")
def test_breaks_off_what_grows_beyond_the_room_there_is(gateway: str) -> None:
    with sent(gateway, "/admin/login/", "Transfer-Encoding: chunked") as connection:
        for _ in range(3):
            connection.sendall(b"10000\r\n" + _PIECE + b"\r\n")
        answer = answer_on(connection)
    assert (answer.status_code, answer.headers["connection"]) == (503, "close")
    wait_until(lambda: incoming._strangers.held() == 0)


def _scope(path: str) -> dict[str, Any]:
    return {"path": path, "method": "POST", "headers": []}


def _posts(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each route with a path that leads there."""
    for entry in resolver.url_patterns:
        path = prefix + _example(entry)
        if isinstance(entry, URLResolver):
            yield from _posts(entry, path)
        elif isinstance(entry, URLPattern):
            yield str(entry.name), path


def _example(entry: URLPattern | URLResolver) -> str:
    pattern: Any = entry.pattern
    text = str(pattern)
    for name, converter in pattern.converters.items():
        kind = type(converter).__name__
        value = {"UUIDConverter": "0b7c0b7c-0000-4000-8000-000000000000"}.get(kind, "1")
        for form in (f"<{_KINDS.get(kind, '')}{name}>", f"<{name}>"):
            text = text.replace(form, value)
    return text


_KINDS = {"UUIDConverter": "uuid:", "IntConverter": "int:", "PathConverter": "path:"}
