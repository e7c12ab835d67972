"""What streams say of themselves while they pass: tokens, the run, an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core.errors import Code

if TYPE_CHECKING:
    from gateway_core.context import RequestRecord

_TOKENS: Final = (("tokens_in", "prompt_tokens"), ("tokens_out", "completion_tokens"))
_MARKS: Final = (b'"usage_statistics"', b'"error_message"')
_HELD_BYTES: Final = 256 * 1024

ERROR_CODES: Final = {
    "llm_authentication": Code.UPSTREAM_CREDENTIAL_REJECTED,
    "llm_context_window_exceeded": Code.CALLER_CONTEXT_TOO_LONG,
    "llm_insufficient_credits": Code.QUOTA_BUDGET_EXHAUSTED,
    "llm_rate_limit": Code.UPSTREAM_OVERLOADED,
    "llm_timeout": Code.UPSTREAM_TIMEOUT,
}


def note_usage(record: RequestRecord, usage: Any) -> None:
    """Keep the token counts of a ``usage_statistics`` object."""
    if isinstance(usage, dict):
        record.facts.update({fact: usage[name] for fact, name in _TOKENS if name in usage})


class StreamObserver:
    """Reads the few frames that matter; all others are told by one search.

    Letta's frames are single ``data:`` lines, see the reference of its stream format.
    """

    __slots__ = ("_held", "_record")

    def __init__(self, record: RequestRecord) -> None:
        self._record = record
        self._held = b""

    def feed(self, chunk: bytes) -> None:
        """See the next piece."""
        if self._held:
            chunk = self._held + chunk
        whole, _, rest = chunk.rpartition(b"\n\n")
        self._held = rest[-_HELD_BYTES:]
        if any(mark in whole for mark in _MARKS):
            for line in whole.split(b"\n"):
                self._read(line)

    def finish(self) -> None:
        """See what came after the last whole frame."""
        for line in self._held.split(b"\n"):
            self._read(line)
        self._held = b""

    def _read(self, line: bytes) -> None:
        if not line.startswith(b"data: {") or not any(mark in line for mark in _MARKS):
            return
        try:
            frame = orjson.loads(line[6:])
        except orjson.JSONDecodeError:
            return
        if frame.get("message_type") == "usage_statistics":
            note_usage(self._record, frame)
        elif frame.get("message_type") == "error_message":
            code = ERROR_CODES.get(frame.get("error_type"), Code.UPSTREAM_FAILED)
            self._record.error_code = code
