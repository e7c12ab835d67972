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
from gateway_core.proxy.exchange import AnswerFailed
from letta_proxy.told import context_too_long, refusal_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_core.context import RequestRecord
    from gateway_core.errors import GatewayError

_TOKENS: Final = (("tokens_in", "prompt_tokens"), ("tokens_out", "completion_tokens"))
_USAGE: Final = b'"usage_statistics"'
# How Letta says in a stream that it has failed. No line begins so otherwise: what a model says has
# its line ends and quotation marks escaped.
_FAILURE: Final = re.compile(
    rb'(?:\A|(?<=\n))(?:event: ?error|data: ?\{"(?:message_type": ?"error_message"|error"))'
).search
# In agents' own loop that comes as an "internal_error" (measured).
_TOO_LONG: Final = b'"detail":"CONTEXT_WINDOW_EXCEEDED'
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

    __slots__ = ("_record", "run_id")

    def __init__(self, record: RequestRecord) -> None:
        self._record = record
        self.run_id = ""

    def feed(self, frames: bytes) -> bytes:
        """See the next frames, and return them.

        Raises:
            AnswerFailed: Letta says that the run has failed, in the model provider's words.
        """
        if not self.run_id and (found := _RUN_ID(frames)):
            self.run_id = found[1].decode()
        failure = _FAILURE(frames)
        before = frames[: failure.start()] if failure else frames
        if _USAGE in before:
            for line in before.split(b"\n"):
                self._read(line)
        if failure:
            raise AnswerFailed(_meaning(frames[failure.start() :]), before)
        return frames

    def finish(self) -> None:
        """All is noted already."""

    def _read(self, line: bytes) -> None:
        if not line.startswith(b"data: {") or _USAGE not in line:
            return
        try:
            frame = orjson.loads(line[6:])
        except orjson.JSONDecodeError:
            return
        if frame.get("message_type") == "usage_statistics":
            note_usage(self._record, frame)


def _meaning(failure: bytes) -> GatewayError:
    refusal = refusal_in(failure.decode(errors="replace"))
    if refusal is not None:
        return refusal
    kind = _ERROR_TYPE(failure)
    if kind and kind[1] in ERRORS:
        return ERRORS[kind[1]]()
    return context_too_long() if _TOO_LONG in failure else UpstreamFailed()
