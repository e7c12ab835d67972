"""What streams say of themselves while they pass: tokens, the run, an error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core.errors import (
    BudgetExhausted,
    UpstreamCredentialRejected,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from letta_proxy.translate import context_too_long

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_core.context import RequestRecord
    from gateway_core.errors import GatewayError

_TOKENS: Final = (("tokens_in", "prompt_tokens"), ("tokens_out", "completion_tokens"))
_USAGE: Final = b'"usage_statistics"'
_HELD_BYTES: Final = 256 * 1024
# How Letta says in a stream that it has failed. No line begins so otherwise: what a model says has
# its line ends and quotation marks escaped.
_FAILURE: Final = re.compile(
    rb'(?:\A|\n)(?:event: ?error|data: ?\{"(?:message_type": ?"error_message"|error"))'
).search
# In agents' own loop that comes as an "internal_error" (measured).
_TOO_LONG: Final = b'"detail":"CONTEXT_WINDOW_EXCEEDED'
_FAILURE_BYTES: Final = 4 * 1024
_ERROR_TYPE: Final = re.compile(rb'"error_type": ?"(\w+)"').search
_RUN_ID: Final = re.compile(rb'"run_id": ?"(run-[\w-]{1,64})"').search

ERRORS: Final[dict[bytes, Callable[[], GatewayError]]] = {
    b"llm_authentication": UpstreamCredentialRejected,
    b"llm_context_window_exceeded": context_too_long,
    b"llm_insufficient_credits": BudgetExhausted,
    b"llm_rate_limit": lambda: UpstreamOverloaded(retry_after=1),
    b"llm_timeout": UpstreamTimeout,
}


def note_usage(record: RequestRecord, usage: Any) -> None:
    """Keep the token counts of a ``usage_statistics`` object."""
    if isinstance(usage, dict):
        record.facts.update({fact: usage[name] for fact, name in _TOKENS if name in usage})


class StreamObserver:
    """Reads the few frames that matter; all others are told by a search or two.

    Letta's frames are single ``data:`` lines, see the reference of its stream format.

    Attributes:
        run_id: the run whose stream it is, empty until a frame has named it.
    """

    __slots__ = ("_held", "_record", "run_id")

    def __init__(self, record: RequestRecord) -> None:
        self._record = record
        self._held = b""
        self.run_id = ""

    def feed(self, chunk: bytes) -> None:
        """See the next piece.

        Raises:
            GatewayError: Letta says that the run has failed, in the model provider's words.
        """
        if self._held:
            chunk = self._held + chunk
        if not self.run_id and (found := _RUN_ID(chunk)):
            self.run_id = found[1].decode()
        if failure := _FAILURE(chunk):
            whole, self._held = chunk[: failure.start()], chunk[failure.start() :]
        else:
            whole, _, rest = chunk.rpartition(b"\n\n")
            self._held = rest[-_HELD_BYTES:]
        if _USAGE in whole:
            for line in whole.split(b"\n"):
                self._read(line)
        if failure:
            self._end()

    def finish(self) -> None:
        """See what came after the last whole frame."""
        for line in self._held.split(b"\n"):
            self._read(line)
        self._held = b""

    def _end(self) -> None:
        """Raise for the failure that is held, as soon as it says of which kind it is."""
        if (kind := _ERROR_TYPE(self._held)) and kind[1] in ERRORS:
            error = ERRORS[kind[1]]
            raise error()
        if _TOO_LONG in self._held:
            raise context_too_long()
        is_whole = b"\n\n" in self._held or self._held.endswith(b"}")
        if is_whole or len(self._held) > _FAILURE_BYTES:
            raise UpstreamFailed

    def _read(self, line: bytes) -> None:
        if not line.startswith(b"data: {") or _USAGE not in line:
            return
        try:
            frame = orjson.loads(line[6:])
        except orjson.JSONDecodeError:
            return
        if frame.get("message_type") == "usage_statistics":
            note_usage(self._record, frame)
