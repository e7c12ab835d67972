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
# A text that quotes this has its quotation marks escaped, so only real members match.
_USAGE: Final = re.compile(rb'"usage"\s*:\s*(?=\{)').finditer
# How LiteLLM says in a stream that it has failed: in OpenAI's way, in that way without the framing
# (of ``completions``), in Anthropic's. No line begins so otherwise, and what a model says has its
# line ends escaped.
_FAILURES: Final = (b'\ndata: {"error"', b'\n{"error"', b"\nevent: error")
_EDGE_BYTES: Final = max(map(len, _FAILURES)) - 1
_TOKENS: Final = (
    ("tokens_in", ("prompt_tokens", "input_tokens")),
    ("tokens_out", ("completion_tokens", "output_tokens")),
)


class UsageObserver:
    """Notes tokens, cost and model of one call in its record.

    An answer that tells no usage, like a stream whose caller didn't ask for it, leaves no facts.
    """

    __slots__ = ("_edge", "_exchange", "_head", "_tail")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._head = b""
        self._tail = bytearray()
        self._edge = b"\n"

    def feed(self, chunk: bytes) -> None:
        """Keep what belongs to either end.

        Raises:
            UpstreamInterrupted: LiteLLM says that the stream has failed, naming its insides.
        """
        if self._exchange.is_stream:
            self._look_for_failure(chunk)
        if len(self._head) < _HEAD_BYTES:
            self._head += chunk[: _HEAD_BYTES - len(self._head)]
        self._tail += chunk
        if len(self._tail) > 2 * _TAIL_BYTES:
            del self._tail[:-_TAIL_BYTES]

    def finish(self) -> None:
        """Write down what was found."""
        exchange = self._exchange
        facts = exchange.record.facts
        if not exchange.is_stream:
            _note_cost(facts, exchange.upstream_headers)
        if "model" not in facts and (
            group := exchange.upstream_headers.get("x-litellm-model-group")
        ):
            facts["model"] = group
        for end in (self._head, bytes(self._tail)):
            for match in _USAGE(end):
                _note(facts, _object_at(end, match.end()))

    def _look_for_failure(self, chunk: bytes) -> None:
        seen = self._edge + chunk
        if any(failure in seen for failure in _FAILURES):
            raise UpstreamInterrupted
        self._edge = seen[-_EDGE_BYTES:]


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


def _object_at(data: bytes, start: int) -> Any:
    """Return the JSON object that begins there, or None when it is cut off or none.

    Usage is counts in nested objects, so braces tell where it ends.
    """
    depth = 0
    for place in range(start, len(data)):
        if data[place] == _OPEN:
            depth += 1
        elif data[place] == _CLOSE:
            depth -= 1
            if not depth:
                try:
                    return orjson.loads(data[start : place + 1])
                except orjson.JSONDecodeError:
                    return None
    return None


_OPEN, _CLOSE = b"{}"
