"""What is read from a model's answer as it goes by: its usage, and that a stream has failed.

Nothing is parsed on the way. Usage stands near the start of an answer (Anthropic) or near its end
(OpenAI, and the last event of streams), so both ends are kept and looked through when it is over.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core.errors import UpstreamInterrupted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_core.proxy.exchange import Exchange

_HEAD_BYTES: Final = 4 * 1024
_TAIL_BYTES: Final = 16 * 1024
_USAGE_BYTES: Final = 2 * 1024
# A text that quotes this has its quotation marks escaped, so only real members match.
_USAGE: Final = re.compile(rb'"usage"\s*:\s*(?=\{)').finditer
# How LiteLLM says in a stream that it has failed: in OpenAI's way, in that way without the framing
# (of ``completions``), in Anthropic's. No line begins so otherwise, and what a model says has its
# line ends escaped.
_FAILURES: Final = (b'\ndata: {"error"', b'\n{"error"', b"\nevent: error")
_OVERLAP_BYTES: Final = max(map(len, _FAILURES)) - 1
_TOKENS: Final = (
    ("tokens_in", ("prompt_tokens", "input_tokens")),
    ("tokens_out", ("completion_tokens", "output_tokens")),
)


class UsageObserver:
    """Notes tokens, cost and model of one call in its record.

    An answer that tells no usage, like a stream whose caller didn't ask for it, leaves no facts.
    """

    __slots__ = ("_exchange", "_head", "_is_stream", "_tail")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._is_stream = exchange.is_stream
        self._head = b""
        # Begins with the end of the line before the first one.
        self._tail = bytearray(b"\n")

    def feed(self, chunk: bytes) -> None:
        """Keep what belongs to either end.

        Raises:
            UpstreamInterrupted: LiteLLM says that the stream has failed, naming its insides.
        """
        tail = self._tail
        unseen = max(0, len(tail) - _OVERLAP_BYTES)
        tail += chunk
        if self._is_stream:
            for failure in _FAILURES:
                if tail.find(failure, unseen) >= 0:
                    raise UpstreamInterrupted
        if len(tail) > 2 * _TAIL_BYTES:
            self._head = self._head or bytes(tail[:_HEAD_BYTES])
            del tail[:-_TAIL_BYTES]

    def finish(self) -> None:
        """Write down what was found."""
        headers = self._exchange.upstream_headers
        facts = self._exchange.record.facts
        if not self._is_stream:
            _note_cost(facts, headers)
        if "model" not in facts and (group := headers.get("x-litellm-model-group")):
            facts["model"] = group
        for end in (self._head, self._tail):
            for match in _USAGE(end):
                _note(facts, _object_at(end, match.end()))


def _note(facts: dict[str, Any], usage: Any) -> None:
    """Take over the counts; of several, like those of a stream's events, the last one counts."""
    if not isinstance(usage, dict):
        return
    for fact, names in _TOKENS:
        for name in names:
            if isinstance(usage.get(name), int):
                facts[fact] = usage[name]
    if isinstance(usage.get("cost"), (int, float)):
        facts["cost"] = float(usage["cost"])


def _note_cost(facts: dict[str, Any], headers: Mapping[str, str]) -> None:
    """LiteLLM tells the cost of a whole answer in a header; that of a stream is not known yet."""
    try:
        facts["cost"] = float(headers["x-litellm-response-cost"])
    except (KeyError, ValueError):
        return


def _object_at(data: bytes | bytearray, start: int) -> Any:
    """Return the JSON object that begins there, or None when it is cut off or none.

    Usage is counts in nested objects, so braces tell where it ends.
    """
    end = start
    while (end := data.find(b"}", end, start + _USAGE_BYTES) + 1) > 0:
        if data.count(b"{", start, end) == data.count(b"}", start, end):
            try:
                return orjson.loads(data[start:end])
            except orjson.JSONDecodeError:
                return None
    return None
