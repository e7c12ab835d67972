"""Bodies and queries that are made to break what reads them: always refused, never a 5xx."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.gateway_project.described_api import Known, Operation, operations
from tests.gateway_project.known_things import Maker

# After these alice could do nothing more.
_ENDS = {"POST /api/v1/me/sign-out", "POST /api/v1/system/upstreams/{name}/breaker"}
_JSON = {
    "unclosed": b"[" * 1_000_000,
    "deep": b"[" * 900 + b"]" * 900,
    "deep objects": b'{"a":' * 900 + b"1" + b"}" * 900,
    "no utf-8": b'{"name": "\xff\xfe"}',
    "half a pair": b'{"name": "\\ud800"}',
    "nan": b'{"name": NaN}',
    "infinity": b'{"name": -Infinity}',
    "huge number": b'{"name": ' + b"9" * 5000 + b"}",
    "huge power": b'{"name": 1e999999}',
    "utf-16": '{"name": "a"}'.encode("utf-16"),
    "two": b'{"name": "a"}{"name": "b"}',
}
_VALUES = {
    "nul": "%00",
    "no utf-8": "%FF%FE",
    "half a pair": "%ED%A0%80",
    "huge": "9" * 400,
    "a fraction": "1e3",
    "negative": "-1",
    "another script": "%D9%A1%EF%BC%92",  # digits, and so a number to Python
    "bidi": "%E2%80%AE%E2%80%8B",
    "long": "x" * 6000,
    "an object": "%7B%22a%22%3A1%7D",
    "quotes": "%27%22%3B--",
    "a pattern": "%25_%5C",
}


_COMPRESSED = {
    "application/json": "gzip",
    "application/yaml": "br",
    "multipart/form-data; boundary=x": "deflate, gzip",
}
_MEDIA_TYPES = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/json; charset=utf-16",
    "application/json; charset=\xff",
    "multipart/form-data",
    "multipart/form-data; boundary=" + "x" * 5000,
    "*/*",
    "",
    ";",
    "application/json, text/html",
]
_QUERIES = [
    "&".join(["limit=1"] * 1100),
    "limit=1&limit=x",
    "%00=1",
    "%FF=%FF",
    "=&&=",
    "?" * 4000,
]
_SEGMENTS = ["%00", "%FF", "%2e%2e", "%2F", "x" * 3000, "%E2%80%AE", "%0d%0a"]


@pytest.fixture
def alice(client_for: Callable[[str], httpx.Client]) -> httpx.Client:
    return client_for("alice@example.com")


@pytest.fixture
def known(alice: httpx.Client) -> Known:
    return Maker(alice).everything()


def _taking(media_type: str) -> list[Operation]:
    return [one for one in operations() if any(body.media_type == media_type for body in one.body)]


def _address(operation: Operation, known: Known) -> str:
    path = str(operation.path)
    values = next((some for begin, some in known.items() if path.startswith(begin)), {})
    return path.format_map({**dict.fromkeys(_names(path), "x"), **values})


def _names(path: str) -> Iterator[str]:
    return (part[1:-1] for part in path.split("/") if part.startswith("{"))


def _is_problem(answer: httpx.Response) -> bool:
    return answer.headers["content-type"] == "application/problem+json"


def _assert_refused(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, answer.text
    assert _is_problem(answer)


def _assert_understood(answer: httpx.Response) -> None:
    assert answer.is_success or (answer.is_client_error and _is_problem(answer)), answer.text


def test_refuses_json_that_is_none_or_none_to_keep(
    alice: httpx.Client, known: Known, subtests: pytest.Subtests
) -> None:
    for operation in _taking("application/json"):
        for name, body in _JSON.items():
            with subtests.test(operation=operation.label, body=name):
                _assert_refused(_send(alice, operation, known, body, "application/json"))


def test_survives_json_that_may_mean_something(
    alice: httpx.Client, known: Known, subtests: pytest.Subtests
) -> None:
    for operation in _taking("application/json"):
        for body in (b"", b"null", b"[]", b"{}", b'"a"', b'{"a": 1, "a": 2}', b"0"):
            with subtests.test(operation=operation.label, body=body):
                _assert_understood(_send(alice, operation, known, body, "application/json"))


def test_takes_a_nul_in_no_body(
    alice: httpx.Client, known: Known, subtests: pytest.Subtests
) -> None:
    for operation in _taking("application/json"):
        if operation.path.startswith(("/api/v1/llm/", "/api/v1/agents/{user_id}/proxy")):
            continue  # what is said to models is theirs to refuse
        with subtests.test(operation=operation.label):
            body = b'{"name": "a\\u0000b"}'
            answer = _send(alice, operation, known, body, "application/json")
            _assert_refused(answer)


def test_refuses_compressed_bodies(
    alice: httpx.Client, known: Known, subtests: pytest.Subtests
) -> None:
    body = gzip.compress(b"{}")
    for media_type, encoding in _COMPRESSED.items():
        for operation in _taking(media_type.partition(";")[0]):
            with subtests.test(operation=operation.label, encoding=encoding):
                answer = _send(alice, operation, known, body, media_type, encoding=encoding)
                if answer.status_code not in {401, 403}:  # not alice's business at all
                    assert answer.status_code == 415
                assert _is_problem(answer)


def test_survives_strange_media_types(
    alice: httpx.Client, known: Known, subtests: pytest.Subtests
) -> None:
    for operation in operations():
        if operation.method not in {"post", "patch"} or operation.label in _ENDS:
            continue
        for media_type in _MEDIA_TYPES:
            with subtests.test(operation=operation.label, media_type=media_type[:40]):
                _assert_understood(_send(alice, operation, known, b'{"a": 1}', media_type))


def test_survives_hostile_queries(
    alice: httpx.Client, known: Known, subtests: pytest.Subtests
) -> None:
    for operation in operations():
        if operation.method != "get":
            continue
        address = _address(operation, known)
        for name in [parameter.name for parameter in operation.query]:
            for kind, value in _VALUES.items():
                with subtests.test(operation=operation.label, parameter=name, value=kind):
                    _assert_understood(alice.get(f"{address}?{name}={value}"))


def test_survives_queries_of_strange_shape(
    alice: httpx.Client, known: Known, subtests: pytest.Subtests
) -> None:
    for operation in operations():
        for query in _QUERIES if operation.method == "get" else ():
            with subtests.test(operation=operation.label, query=query[:40]):
                _assert_understood(alice.get(f"{_address(operation, known)}?{query}"))


def test_refuses_hostile_paths(alice: httpx.Client, subtests: pytest.Subtests) -> None:
    for operation in operations():
        names = list(_names(operation.path))
        for given in _SEGMENTS if names and operation.method != "delete" else ():
            with subtests.test(operation=operation.label, given=given[:40]):
                path = operation.path.format_map(dict.fromkeys(names, given))
                _assert_refused(alice.request(operation.method, path))


def _send(
    client: httpx.Client,
    operation: Operation,
    known: Known,
    body: bytes,
    media_type: str,
    *,
    encoding: str = "",
) -> httpx.Response:
    headers = {b"content-type": media_type.encode("latin-1")}
    if encoding:
        headers[b"content-encoding"] = encoding.encode()
    address = _address(operation, known)
    return client.request(operation.method, address, content=body, headers=headers)
