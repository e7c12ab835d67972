"""An audit event as a line of JSON: the one form in which it waits, travels and is stored.

Nothing here needs Django or a database: making a line is part of every request.
"""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core.logging import redact

if TYPE_CHECKING:
    from gateway_core.context import RequestRecord

CONTROL_ROUTE: Final = "control"
# Of what the server itself has refused, before any application had it.
SERVER_ROUTE: Final = "server"

# What looks after itself or serves everybody the same: nobody asks later who read these.
_NOT_WORTH_KEEPING: Final = re.compile(
    r"/(?:(?:static|docs|redoc|metrics)(?:[/?]|$)|favicon\.ico|admin/jsi18n/|admin/login/|api/schema|api/v1/system/(?:health|ready|info)\b)"
).match

# ``/agents/agent-0b7c…`` or ``/templates/0b7c…``; before ``/proxy`` stands the caller.
_NAMED_THING: Final = re.compile(
    r"/([a-z_-]+)/((?:[a-z]+-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?=/(?!proxy)|$)"
).search

# Whose name in paths is not what changes call them.
_KINDS: Final = {"keys": "api_key"}

_SUCCESSES: Final = range(200, 300)

_VERSION_7: Final = 0x7 << 76
_VARIANT: Final = 0b10 << 62
_RANDOM_BITS: Final = ((1 << 12) - 1) << 64 | (1 << 62) - 1

# What orjson can write as a number, and a depth that is far from what it refuses.
_INTEGER_BITS: Final = 64
_DEEPEST: Final = 32


class Plane(StrEnum):
    """Which half of the gateway an event is about."""

    DATA = "data"
    CONTROL = "control"


def is_worth_keeping(record: RequestRecord) -> bool:
    """Say whether a finished request becomes an event.

    Every one does but preflights, reads of the control plane's probes, metrics and pages, and what
    came to nothing of callers nobody knows: anybody could fill the table with those.
    """
    if record.method == "OPTIONS" or (not record.user_id and record.status not in _SUCCESSES):
        return False
    if record.route != CONTROL_ROUTE or record.method not in {"GET", "HEAD"}:
        return True
    return _NOT_WORTH_KEEPING(record.path) is None


def line_of(record: RequestRecord) -> bytes:
    """Return the line of a finished request.

    A route that knows which thing a request was about leaves it in ``record.facts["resource"]``;
    otherwise it is the first thing that the path names, or the model.
    """
    facts = dict(record.facts)
    return encode(
        {
            "plane": Plane.CONTROL if record.route == CONTROL_ROUTE else Plane.DATA,
            "action": record.operation,
            "route": record.route,
            "method": record.method,
            "path": record.path,
            "user_id": record.user_id or None,
            "resource": facts.pop("resource", "") or _resource_of(record),
            "client_ip": record.client_ip,
            "request_id": record.request_id,
            "trace_id": record.trace_id,
            "status": record.status,
            "code": record.error_code,
            "duration_ms": record.duration_ms,
            "first_byte_ms": record.first_byte_ms,
            "bytes_in": record.bytes_in,
            "bytes_out": record.bytes_out,
            "facts": facts,
        }
    )


def _resource_of(record: RequestRecord) -> str:
    """Return type and id of what a request was about, as ``record_change`` names things."""
    if match := _NAMED_THING(record.path):
        return f"{_KINDS.get(match[1]) or match[1].removesuffix('s')}:{match[2]}"
    model = record.facts.get("model")
    return f"model:{model}" if model else ""


def encode(event: dict[str, Any], *, at: datetime | None = None) -> bytes:
    """Give an event its id and time, and return its line, newline included.

    Args:
        event: fields of ``AuditEvent`` without ``id`` and ``at``. Secrets in ``facts``, as far as
            their names tell, are replaced in it.
        at: its time; now without one.
    """
    at = at or datetime.now(UTC)
    event["id"] = new_id(at)
    event["at"] = at
    redact(None, "", event["facts"])
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return orjson.dumps(_made_plain(event), option=orjson.OPT_APPEND_NEWLINE)


def new_id(at: datetime | None = None) -> str:
    """Return a UUID version 7 (RFC 9562) of that time, of now without one, as 32 hex digits.

    Ids sort by time, to the millisecond, so rows arrive at the end of the primary key's index, and
    ranges of the key are ranges of time.
    """
    milliseconds = int((at or datetime.now(UTC)).timestamp() * 1000)
    chance = random.getrandbits(80) & _RANDOM_BITS
    return f"{milliseconds << 80 | _VERSION_7 | _VARIANT | chance:032x}"


def _made_plain(value: Any, depth: int = 0) -> Any:
    """Return what JSON can say of a value it can't hold, such as half a surrogate pair."""
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, dict):
        return {_text(name): _made_plain(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_made_plain(inner, depth + 1) for inner in value]
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and value.bit_length() < _INTEGER_BITS:
        return value
    return _text(value)


def _text(value: Any) -> str:
    return str(value).encode(errors="replace").decode()
