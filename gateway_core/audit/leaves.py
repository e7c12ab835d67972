"""The one form in which an event is hashed: PostgreSQL makes it when it stores, we when we verify.

Both say each column as PostgreSQL's text of it, or null, in a JSON array; so what is hashed is what
is stored, whatever PostgreSQL made of the line that it got. All hashes are SHA-256.

    personal = hash(salt, user_id, user_email, client_ip, path, resource, facts)
    content  = hash(all other columns, personal)
    leaf     = hash(0, content, leaf that this one replaces)

The salt keeps anybody from finding out by trying what the personal columns said once it is gone.
Nothing here needs Django or a database: an export is verified with this, too.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

PLAIN: Final = (
    *("id", "at", "plane", "action", "route", "method", "request_id", "trace_id", "status"),
    *("code", "duration_ms", "first_byte_ms", "bytes_in", "bytes_out"),
)
PERSONAL: Final = ("user_id", "user_email", "client_ip", "path", "resource", "facts")
FIELDS: Final = PLAIN + PERSONAL
# All others are never null.
NULLABLE: Final = frozenset({"status", "duration_ms", "first_byte_ms", "user_id"})
NUMBERS: Final = frozenset({"status", "duration_ms", "first_byte_ms", "bytes_in", "bytes_out"})

# The last millisecond that has a month with four digits for its year.
_LAST_MILLISECOND: Final = 253_402_300_799_999
_TIME_DIGITS: Final = 12
_encode = json.JSONEncoder(ensure_ascii=False).encode


def utc_text(column: str) -> str:
    """Return the SQL of a time's text: ``2026-11-23T09:26:26.1234Z``, no zeros at its end."""
    return f"replace(({column} AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z'"


def text_of(at: datetime) -> str:
    """Return what ``utc_text`` makes of a time."""
    at = at.astimezone(UTC)
    fraction = f".{at.microsecond:06d}".rstrip("0") if at.microsecond else ""
    return f"{at:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def sql_text(name: str) -> str:
    """Return the SQL of a column's text."""
    return utc_text(name) if name == "at" else f"{name}::text"


def _sql_array(names: Sequence[str]) -> str:
    array = f"json_build_array({', '.join(map(sql_text, names))})::text"
    return f"convert_to({array}, 'UTF8')"


_SQL_PERSONAL: Final = f"sha256(uuid_send(salt) || {_sql_array(PERSONAL)})"
SQL_CONTENT: Final = f"sha256({_sql_array(PLAIN)} || {_SQL_PERSONAL})"
SQL_LEAF: Final = f"sha256('\\x00'::bytea || {SQL_CONTENT} || replaces)"
SQL_MONTH: Final = (
    f"to_char(to_timestamp(least(('x' || left(replace(id::text, '-', ''), {_TIME_DIGITS}))::bit(48)"
    f"::bigint, {_LAST_MILLISECOND}) / 1000) AT TIME ZONE 'UTC', 'YYYY-MM')"
)


def content_of(fields: Sequence[str | None], salt: bytes) -> bytes:
    """Return the content's hash of an event.

    Args:
        fields: the texts of ``FIELDS``.
        salt: of 16 bytes.
    """
    plain, personal = fields[: len(PLAIN)], fields[len(PLAIN) :]
    hidden = hashlib.sha256(salt + _encode(personal).encode()).digest()
    return hashlib.sha256(_encode(plain).encode() + hidden).digest()


def leaf_of(content: bytes, replaces: bytes) -> bytes:
    """Return what a batch commits to.

    Args:
        replaces: the leaf of what the event said before somebody was erased from it, or nothing.
    """
    return hashlib.sha256(b"\0" + content + replaces).digest()


def month_of(event_id: str) -> str:
    """Return the month, as ``2026-11``, that an event's id (UUID version 7) was made in."""
    digits = event_id.replace("-", "")[:_TIME_DIGITS]
    seconds = min(int(digits, 16), _LAST_MILLISECOND) // 1000
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m}"
