"""What one request is, for everything that logs, measures or calls on: id, trace, record."""

from __future__ import annotations

import random
import re
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway_core.errors import UpstreamUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

# Those that change nothing (RFC 9110 §9.2.1).
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# What is kept of a path: no operation has a longer one, and anybody can send one.
_PATH_CHARACTERS: Final = 512
# What nobody may read there: secrets by their prefixes, and whatever stands where Letta has the
# secret of a user's agents, however it is encoded. No name of an operation is that long.
_SECRET: Final = re.compile(r"gw[ks]_[^/]*|(?<=/proxy)(/*)[^/]{20,}", re.IGNORECASE)
_HIDDEN: Final = "[secret]"
# What is taken over from a caller: nothing that could break a log line or a header.
_WELL_FORMED_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}").fullmatch
# https://www.w3.org/TR/trace-context/#traceparent-header, version 00.
_WELL_FORMED_TRACE: Final = re.compile(
    r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})"
).fullmatch


@dataclass(slots=True)
class RequestRecord:
    """All that is remembered of a request: one canonical log line, metrics, an audit event.

    Times are ``time.monotonic()`` seconds; sizes are bytes; ``route`` and ``operation`` come from
    closed sets, so they may be metric labels. ``has_effect`` says that something outside our own
    database has been changed, or may have been; see ``changing``. ``headers`` go out with the
    answer, whatever it is.
    """

    request_id: str
    trace_id: str
    method: str
    path: str
    client_ip: str
    started: float
    route: str = "control"
    operation: str = "-"
    user_id: str = ""
    status: int = 0
    error_code: str = ""
    first_byte: float = 0.0
    ended: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    has_effect: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def belongs_to(self, user_id: UUID, api_key_id: UUID | None) -> None:
        """Note who has made the request, and with which API key, if with one."""
        self.user_id = str(user_id)
        if api_key_id is not None:
            self.facts["api_key_id"] = api_key_id

    @property
    def duration_ms(self) -> float:
        """Milliseconds from the first byte in to the last byte out."""
        return round((self.ended - self.started) * 1000, 2)

    @property
    def first_byte_ms(self) -> float | None:
        """Milliseconds to the first byte out, if there was one."""
        return round((self.first_byte - self.started) * 1000, 2) if self.first_byte else None


current: ContextVar[RequestRecord | None] = ContextVar("request_record", default=None)


def begin(scope: Any) -> RequestRecord:
    """Make the record of an ASGI request and bind it for the current task.

    Takes over a well-formed ``X-Request-Id`` and the trace id of a well-formed ``traceparent``.
    """
    candidate = trace = ""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            candidate = value.decode("latin-1")
        elif name == b"traceparent":
            trace = value.decode("latin-1")
    match = _WELL_FORMED_TRACE(trace) if trace else None
    client = scope.get("client")
    record = RequestRecord(
        request_id=candidate if _WELL_FORMED_ID(candidate) else new_request_id(),
        trace_id=match[1] if match else random_hex(32),
        method=scope.get("method", "WEBSOCKET"),
        path=shown_path(scope["path"]),
        client_ip=client[0] if client else "",
        started=time.monotonic(),
    )
    current.set(record)
    return record


def shown_path(path: str) -> str:
    """Return of a path what may be read by anybody who reads logs: its beginning, no secrets."""
    lowered = path.lower()
    if "gw" in lowered or "/proxy" in lowered:
        path = _SECRET.sub(_hidden, path)
    return path[:_PATH_CHARACTERS]


def _hidden(match: re.Match[str]) -> str:
    return f"{match[1] or ''}{_HIDDEN}"


@contextmanager
def changing(method: str) -> Iterator[None]:
    """Note on the record that the block, a call to an upstream, may change something there.

    A call that could not even be begun changes nothing.
    """
    record = current.get()
    if record is None or method in _SAFE_METHODS:
        yield
        return
    had_effect, record.has_effect = record.has_effect, True
    try:
        yield
    except UpstreamUnreachable:
        record.has_effect = had_effect
        raise


def nothing_remains() -> None:
    """Note that all that the request has changed so far has been taken back.

    After that an error tells its caller that the same request may be sent again.
    """
    record = current.get()
    if record is not None:
        record.has_effect = False


def request_id() -> str:
    """Return the id of the request in hand; outside of one, a new id."""
    record = current.get()
    return record.request_id if record else new_request_id()


def user_id() -> str | None:
    """Return whose request is in hand, None outside of one and while that is not known."""
    record = current.get()
    return (record.user_id or None) if record else None


def traceparent(record: RequestRecord) -> str:
    """Return a W3C ``traceparent`` for a call that is part of this request."""
    return f"00-{record.trace_id}-{random_hex(16)}-01"


def new_request_id() -> str:
    """Return a request id. It has to be unique, not secret."""
    return f"req_{random_hex(24)}"


def random_hex(digits: int) -> str:
    """Return random digits for an id that has to be unique, not secret."""
    # A system call for each id would cost as much as the rest of the record; ``random`` is seeded
    # by the system once for each process, after a fork too.
    return f"{random.getrandbits(4 * digits):0{digits}x}"
