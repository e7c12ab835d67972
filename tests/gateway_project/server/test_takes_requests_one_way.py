"""Whatever two servers could read in two ways is refused, or read in one.

Each case is sent on a connection of its own, and then an ordinary request if the connection is
still open: what comes back is the ids and statuses that were answered, and whether it was closed.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.conftest import Running, RunningSupabase
from tests.gateway_project.server.conftest import Serve
from tests.gateway_project.server.wire import Wire

CHAT = b"/api/v1/llm/v1/chat/completions"
HEALTH = b"/api/v1/system/health"
BODY = b'{"model": "stub/s-n1", "messages": [{"role": "user", "content": "hi"}]}'
HIDDEN = (
    b"GET /api/v1/system/health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: hidden-one\r\n\r\n"
)

REFUSED = [("", 400), "closed"]
SERVED = [("the-request", 200), ("the-next-one", 200)]
SERVED_LAST = [("the-request", 200), "closed"]
NOT_FOUND = [("the-request", 404), ("the-next-one", 200)]

Case = tuple[bytes, Sequence[object]]


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _chat(
    *fields: bytes, body: bytes = BODY, line: bytes = b"POST " + CHAT + b" HTTP/1.1"
) -> bytes:
    """Return a model call with these header fields besides the usual ones, and this body."""
    usual = (b"Host: localhost", b"{token}", b"Content-Type: application/json", b"{id}")
    return b"\r\n".join([line, *usual, *fields, b"", body])


def _get(*fields: bytes, line: bytes = b"GET " + HEALTH + b" HTTP/1.1") -> bytes:
    return b"\r\n".join([line, b"Host: localhost", b"{id}", *fields, b"", b""])


LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"
IN_CHUNKS = _chunk(BODY) + b"0\r\n\r\n"

CALLS: dict[str, Case] = {
    "a length": (_chat(LENGTH), SERVED),
    "chunks": (_chat(CHUNKED, body=IN_CHUNKS), SERVED),
    "chunks, in capitals": (_chat(b"TRANSFER-ENCODING: CHUNKED", body=IN_CHUNKS), SERVED),
    "a tab before chunked": (_chat(b"Transfer-Encoding:\tchunked", body=IN_CHUNKS), SERVED),
    "a chunk's extension": (
        _chat(CHUNKED, body=b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
        SERVED,
    ),
    "zeros before a chunk's size": (
        _chat(CHUNKED, body=b"%050x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
        SERVED,
    ),
    "a trailer like a header": (
        _chat(CHUNKED, body=_chunk(BODY) + b"0\r\nX-Request-Id: from-trailer\r\n\r\n"),
        SERVED,
    ),
    "HTTP/1.0": (_chat(LENGTH, line=b"POST " + CHAT + b" HTTP/1.0"), SERVED_LAST),
    "HTTP/1.0 that stays": (
        _chat(LENGTH, b"Connection: keep-alive", line=b"POST " + CHAT + b" HTTP/1.0"),
        SERVED_LAST,
    ),
    "100-continue": (_chat(LENGTH, b"Expect: 100-continue"), SERVED),
    "close, and one more": (_chat(LENGTH, b"Connection: close") + HIDDEN, SERVED_LAST),
}
NO_CALLS: dict[str, Case] = {
    "a length and chunks": (_chat(LENGTH, CHUNKED, body=IN_CHUNKS), REFUSED),
    "chunks and a length": (_chat(CHUNKED, b"Content-Length: 3", body=IN_CHUNKS + HIDDEN), REFUSED),
    "two lengths": (_chat(LENGTH, b"Content-Length: 3"), REFUSED),
    "the same length twice": (_chat(LENGTH, LENGTH), REFUSED),
    "a list of lengths": (_chat(LENGTH + b", %d" % len(BODY)), REFUSED),
    "a length with a sign": (_chat(b"Content-Length: +%d" % len(BODY)), REFUSED),
    "a negative length": (_chat(b"Content-Length: -1"), REFUSED),
    "a length with a space": (_chat(b"Content-Length: 7 1"), REFUSED),
    "a hexadecimal length": (_chat(b"Content-Length: 0x%x" % len(BODY)), REFUSED),
    "an empty length": (_chat(b"Content-Length:"), REFUSED),
    "a length over 64 bits": (_chat(b"Content-Length: 18446744073709551687"), REFUSED),
    "xchunked": (_chat(b"Transfer-Encoding: xchunked", body=IN_CHUNKS), REFUSED),
    "chunked twice": (_chat(CHUNKED, CHUNKED, body=IN_CHUNKS), REFUSED),
    "chunked, chunked": (_chat(CHUNKED + b", chunked", body=IN_CHUNKS), REFUSED),
    "gzip, chunked": (_chat(b"Transfer-Encoding: gzip, chunked", body=IN_CHUNKS), REFUSED),
    "chunked, identity": (_chat(CHUNKED + b", identity", body=IN_CHUNKS), REFUSED),
    "identity": (_chat(b"Transfer-Encoding: identity", LENGTH), REFUSED),
    "quoted chunked": (_chat(b'Transfer-Encoding: "chunked"', body=IN_CHUNKS), REFUSED),
    "a vertical tab before chunked": (
        _chat(b"Transfer-Encoding: \x0bchunked", body=IN_CHUNKS),
        REFUSED,
    ),
    "an empty encoding": (_chat(b"Transfer-Encoding:", body=IN_CHUNKS), REFUSED),
    "a folded encoding": (_chat(b"Transfer-Encoding:\r\n chunked", body=IN_CHUNKS), REFUSED),
    "chunks in HTTP/1.0": (
        _chat(
            CHUNKED,
            b"Connection: keep-alive",
            body=IN_CHUNKS,
            line=b"POST " + CHAT + b" HTTP/1.0",
        ),
        REFUSED,
    ),
    "a length in a trailer": (
        _chat(CHUNKED, body=_chunk(BODY) + b"0\r\nContent-Length: 3\r\n\r\n"),
        REFUSED,
    ),
    "a chunk's size over 64 bits": (
        _chat(CHUNKED, body=b"1" + b"0" * 16 + b"1\r\n" + BODY),
        REFUSED,
    ),
    "a chunk's size with 0x": (_chat(CHUNKED, body=b"0x4\r\nabcd\r\n0\r\n\r\n"), REFUSED),
    "a negative chunk": (_chat(CHUNKED, body=b"-4\r\nabcd\r\n0\r\n\r\n"), REFUSED),
    "a space after a chunk's size": (_chat(CHUNKED, body=b"4 \r\nabcd\r\n0\r\n\r\n"), REFUSED),
    "no CRLF after a chunk": (_chat(CHUNKED, body=b"4\r\nabcdXX0\r\n\r\n"), REFUSED),
    "bare LF between chunks": (_chat(CHUNKED, body=b"4\nabcd\n0\n\n"), REFUSED),
    "bare LF in an extension": (_chat(CHUNKED, body=b"4;a\nb\r\nabcd\r\n0\r\n\r\n"), REFUSED),
    "a space before the colon": (_chat(b"Content-Length : %d" % len(BODY)), REFUSED),
    "a tab before the colon": (_chat(LENGTH, b"X-A\t: b"), REFUSED),
    "a folded header": (_chat(LENGTH, b"X-A: b\r\n c"), REFUSED),
    "NUL in a value": (_chat(LENGTH, b"X-A: b\0c"), REFUSED),
    "CR in a value": (_chat(LENGTH, b"X-A: b\rc"), REFUSED),
    "LF in a value": (_chat(LENGTH, b"X-A: b\nContent-Length: 3"), REFUSED),
    "NUL in a name": (_chat(LENGTH, b"X\0A: b"), REFUSED),
    "no name": (_chat(LENGTH, b": b"), REFUSED),
    "a name outside of ASCII": (_chat(LENGTH, b"X-\xc3\x84: b"), REFUSED),
    "two hosts": (_chat(LENGTH, b"Host: other"), REFUSED),
    "no host": (_get().replace(b"Host: localhost\r\n", b""), REFUSED),
    "bare LF everywhere": (_get().replace(b"\r\n", b"\n"), REFUSED),
    "a space before the first header": (_get().replace(b"Host", b" Host"), REFUSED),
    "an absolute target": (
        _get(line=b"GET http://localhost" + HEALTH + b" HTTP/1.1"),
        REFUSED,
    ),
    "an authority for a target": (_get(line=b"GET localhost:80 HTTP/1.1"), REFUSED),
    "CONNECT": (_get(line=b"CONNECT localhost:80 HTTP/1.1") + HIDDEN, REFUSED),
    "an asterisk for a target": (_get(line=b"OPTIONS * HTTP/1.1"), REFUSED),
    "a fragment": (_get(line=b"GET " + HEALTH + b"#/../admin HTTP/1.1"), REFUSED),
    "NUL in a target": (_get(line=b"GET " + HEALTH + b"\0 HTTP/1.1"), REFUSED),
    "a space in a target": (_get(line=b"GET " + HEALTH + b" x HTTP/1.1"), REFUSED),
    "a target outside of ASCII": (_get(line=b"GET /\xc3\xa9 HTTP/1.1"), REFUSED),
    "two slashes": (_get(line=b"GET /" + HEALTH + b" HTTP/1.1"), NOT_FOUND),
    "an encoded NUL": (_get(line=b"GET " + HEALTH + b"%00 HTTP/1.1"), NOT_FOUND),
    "an encoded line end": (_get(line=b"GET " + HEALTH + b"%0d%0aX HTTP/1.1"), NOT_FOUND),
    "HTTP/0.9": (b"GET " + HEALTH + b"\r\n\r\n", REFUSED),
    "HTTP/1.2": (_get(line=b"GET " + HEALTH + b" HTTP/1.2"), REFUSED),
    "HTTP/2.0 in plain": (_get(line=b"GET " + HEALTH + b" HTTP/2.0"), REFUSED),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSED),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", REFUSED),
    "a method in small letters": (_get(line=b"get " + HEALTH + b" HTTP/1.1"), REFUSED),
    "an unknown method": (_get(line=b"SMUGGLE " + HEALTH + b" HTTP/1.1"), REFUSED),
    "h2c": (
        _get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
        + HIDDEN,
        SERVED_LAST,
    ),
    "h2c with a body": (
        _chat(LENGTH, b"Connection: Upgrade", b"Upgrade: h2c") + HIDDEN,
        REFUSED,
    ),
    "two at once": (_get() + HIDDEN, [("the-request", 200), ("hidden-one", 200), *SERVED[1:]]),
    "a refused one and one more": (_get(b"Host: other") + HIDDEN, REFUSED),
    "one and a refused one": (_get() + b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", SERVED_LAST),
    "two and a refused one": (
        _get() + HIDDEN + b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        [("the-request", 200), ("hidden-one", 200), "closed"],
    ),
    "one and one with a bad body": (
        _get() + _chat(CHUNKED, body=b"0x4\r\nabcd\r\n0\r\n\r\n"),
        SERVED_LAST,
    ),
    "a WebSocket behind one": (
        _get()
        + b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        SERVED_LAST,
    ),
    "a body without a token, and one more": (
        _chat(LENGTH).replace(b"{token}\r\n", b"") + HIDDEN,
        [("the-request", 401), ("hidden-one", 200), *SERVED[1:]],
    ),
    "a body where none belongs": (
        _get(b"Content-Length: %d" % len(HIDDEN)) + HIDDEN,
        SERVED,
    ),
    "a path that is too long": (
        _get(line=b"GET /" + b"a" * 9000 + b" HTTP/1.1"),
        [("", 414), "closed"],
    ),
    "too many headers": (_get(*[b"X-A: b"] * 101), [("", 431), "closed"]),
    "a header that is too large": (_get(b"X-A: " + b"b" * 70_000), [("", 431), "closed"]),
    "a header that never ends": (
        b"GET / HTTP/1.1\r\nX-A: " + b"b" * 400_000,
        [("", 431), "closed"],
    ),
    "empty lines without end": (b"\r\n" * 400_000, [("", 431), "closed"]),
    "trailers without end": (
        _chat(CHUNKED, body=_chunk(BODY) + b"0\r\n" + b"X-A: b\r\n" * 100_000),
        [("", 431), "closed"],
    ),
}


def _outcome(port: int, sent: bytes, expected: int) -> list[object]:
    """Send, and return what was answered: ids of ours with statuses, and ``closed`` at the end."""
    following = HIDDEN.replace(b"hidden-one", b"the-next-one")
    outcome: list[object] = []
    with Wire(port) as wire:
        wire.send(sent)
        while len(outcome) < expected:
            answer = wire.answer()
            if answer is None:
                outcome.append("closed")
                break
            status, headers, _ = answer
            name = headers["x-request-id"]
            outcome.append(("" if name.startswith("req_") else name, status))
            if len(outcome) == expected - 1:
                wire.send(following)
    return outcome


def test_reads_each_request_in_one_way_or_not_at_all(
    serve: Serve, supabase: RunningSupabase, litellm: Running
) -> None:
    served = serve()
    token = b"Authorization: Bearer " + supabase.token().encode()
    wrong = {}

    for name, (sent, expected) in (CALLS | NO_CALLS).items():
        filled = sent.replace(b"{token}", token).replace(b"{id}", b"X-Request-Id: the-request")
        outcome = _outcome(served.port, filled, len(expected))
        if outcome != expected:
            wrong[name] = outcome

    assert not wrong
    assert len(litellm.requests("/chat/completions")) == len(CALLS)
    assert "Traceback" not in served.log.read_text()
