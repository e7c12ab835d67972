"""What is read from a model's answer as it goes by: its usage, and that a stream has failed.

Facts are of LiteLLM 1.109.1. The cost of a whole answer stands in a header. A stream of
``chat/completions`` or ``completions`` tells it in its usage chunk, one of ``responses`` or
``messages`` not at all: that call is open until LiteLLM's log tells.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core.errors import ProviderInterrupted
from gateway_core.proxy.exchange import AnswerFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway_core.proxy.exchange import Exchange, Observer

# A note of the exchange: its caller did not ask for the usage that the stream will bring.
USAGE_UNASKED: Final = "usage unasked"

_HEAD_BYTES: Final = 4 * 1024
_TAIL_BYTES: Final = 16 * 1024
_USAGE_BYTES: Final = 2 * 1024
_FRAME_END: Final = b"\n\n"
_DATA: Final = b"data: "
# A text that quotes these has its quotation marks escaped, so only real members match.
_USAGE_NAME: Final = b'"usage"'
_USAGE: Final = re.compile(rb'"usage"\s*:\s*(?=\{)').finditer
# How LiteLLM says in a stream that it has failed: in OpenAI's way, in that way without the framing
# (of ``completions``), in Anthropic's. No line begins so otherwise, and what a model says has its
# line ends escaped.
_FAILURE_NAME: Final = b'"error"'
_FAILURE: Final = re.compile(rb'(?:\A|(?<=\n))(?:(?:data: ?)?\{"error"|event: ?error)').search
_TOKENS: Final = (
    ("tokens_in", ("prompt_tokens", "input_tokens")),
    ("tokens_out", ("completion_tokens", "output_tokens")),
)
# Anthropic counts these beside its input tokens; LiteLLM bills and logs them as part of the prompt.
_CACHED: Final = ("cache_creation_input_tokens", "cache_read_input_tokens")
_MOST_TOKENS: Final = 2**53
# US dollars that a usage record has no room for. One that can't be stored takes its audit event
# along.
_COST_BOUND: Final = 10**8


def observe(exchange: Exchange) -> Observer:
    """Return the watcher of a model's answer, which notes tokens and cost in the record."""
    facts = exchange.record.facts
    if exchange.is_stream:
        operation: Any = exchange.operation
        return StreamObserver(
            facts,
            drops_usage=exchange.notes.get(USAGE_UNASKED, False),
            tells_cost=operation.tells_usage_if_asked,
        )
    return BodyObserver(facts, exchange.upstream_headers)


class StreamObserver:
    """Reads the few frames that matter; all others are told by two searches.

    Args:
        facts: where tokens and cost are noted; of several, as in an Anthropic stream, the last.
        drops_usage: the caller is not to see the usage.
        tells_cost: the usage has LiteLLM's cost. In other streams a cost is the caller's own: those
            of ``responses`` repeat the tools of the request, where anything may be called usage.
    """

    __slots__ = ("_drops_usage", "_facts", "_tells_cost")

    def __init__(
        self, facts: dict[str, Any], *, drops_usage: bool, tells_cost: bool = False
    ) -> None:
        self._facts = facts
        self._drops_usage = drops_usage
        self._tells_cost = tells_cost

    def feed(self, frames: bytes) -> bytes:
        """See the next frames; return them, without the usage where the caller did not ask for it.

        Raises:
            AnswerFailed: LiteLLM says that the stream has failed, naming its insides.
        """
        if _FAILURE_NAME in frames and (failure := _FAILURE(frames)):
            before = frames[: failure.start()]
            raise AnswerFailed(ProviderInterrupted(), self._read(before))
        return self._read(frames) if _USAGE_NAME in frames else frames

    def finish(self) -> None:
        """All is noted already."""

    def _read(self, frames: bytes) -> bytes:
        for usage in _usages(frames):
            _note(self._facts, usage)
            if self._tells_cost and _note_cost(self._facts, usage.get("cost")):
                # LiteLLM works it out anew when it bills.
                self._facts["provisional"] = True
        if not self._drops_usage:
            return frames
        kept = (_without_usage(frame) for frame in frames.split(_FRAME_END))
        return _FRAME_END.join(frame for frame in kept if frame is not None)


class BodyObserver:
    """Keeps a whole answer, or of a long one both ends, and looks for its usage when it is over.

    Anthropic's stands near the start, OpenAI's near the end.

    Args:
        facts: where tokens and cost are noted.
        headers: of the answer.
    """

    __slots__ = ("_facts", "_head", "_headers", "_tail")

    def __init__(self, facts: dict[str, Any], headers: Mapping[str, str]) -> None:
        self._facts = facts
        self._headers = headers
        self._head = b""
        self._tail = bytearray()

    def feed(self, piece: bytes) -> bytes:
        """Keep what belongs to either end."""
        tail = self._tail
        tail += piece
        if len(tail) > 2 * _TAIL_BYTES:
            self._head = self._head or bytes(tail[:_HEAD_BYTES])
            del tail[:-_TAIL_BYTES]
        return piece

    def finish(self) -> None:
        """Write down what was found."""
        if self._head:
            found: list[Any] = [*_usages(self._head), *_usages(self._tail)]
        else:
            answer = _parsed(self._tail)
            found = [answer.get("usage")] if isinstance(answer, dict) else []
        for usage in found:
            if isinstance(usage, dict):
                _note(self._facts, usage)
        try:
            cost = float(self._headers["x-litellm-response-cost"])
        except (KeyError, ValueError):
            return
        _note_cost(self._facts, cost)


def _usages(data: bytes | bytearray) -> Iterator[dict[str, Any]]:
    for match in _USAGE(data):
        usage = _object_at(data, match.end())
        if isinstance(usage, dict):
            yield usage


def _note(facts: dict[str, Any], usage: dict[str, Any]) -> None:
    for fact, names in _TOKENS:
        for name in names:
            if _is_count(usage.get(name)):
                facts[fact] = usage[name]
    if "input_tokens" in usage and "tokens_in" in facts:
        facts["tokens_in"] += sum(usage[name] for name in _CACHED if _is_count(usage.get(name)))


def _note_cost(facts: dict[str, Any], cost: Any) -> bool:
    is_cost = type(cost) in {int, float} and 0 <= cost < _COST_BOUND
    if is_cost:
        facts["cost"] = float(cost)
    return is_cost


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST_TOKENS


def _without_usage(frame: bytes) -> bytes | None:
    """Return a frame as it would be had nobody asked for usage; None when it would not be."""
    if _USAGE_NAME not in frame or not frame.startswith(_DATA):
        return frame
    chunk = _parsed(frame[len(_DATA) :])
    if not isinstance(chunk, dict) or "usage" not in chunk:
        return frame
    if chunk.pop("usage") and not chunk.get("choices"):
        return None
    return _DATA + orjson.dumps(chunk)


def _object_at(data: bytes | bytearray, start: int) -> Any:
    """Return the JSON object that begins there, or None when it is cut off or none.

    Usage is counts in nested objects, so braces tell where it ends.
    """
    end = start
    while (end := data.find(b"}", end, start + _USAGE_BYTES) + 1) > 0:
        if data.count(b"{", start, end) == data.count(b"}", start, end):
            return _parsed(data[start:end])
    return None


def _parsed(data: bytes | bytearray) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
