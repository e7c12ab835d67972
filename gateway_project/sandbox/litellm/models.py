"""The models on offer and what each does: the same names as the real proxy of the tests has.

``stub/<behaviour>`` and the bare behaviour are a model, too. A behaviour is made of:

    fast              answers at once              slow       waits 2 s first
    err<status>       the provider fails so        ctx        the prompt is too long
    n<N> d<ms>        a stream of N pieces with that pause between two, as in s-n100-d20
    midfail miderr    the stream breaks off, or brings an error, after 3 pieces

``stub-chat`` answers ``stub says: <text>`` and obeys directives in the last user message:
``TOOL:<name> {json}`` calls a tool, ``SLOW:<n>:<seconds>`` and ``LONG:<n>`` answer n words,
``ERR:<status>`` and ``CTX`` fail. ``sandbox-chat`` is the same at the pace of a real model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gateway_project.sandbox.litellm.state import Row

_PIECES: Final = 5
_SLOW_SECONDS: Final = 2.0
_TYPING_SECONDS: Final = 0.04
_PROMPT_PRICE: Final = 0.001
_COMPLETION_PRICE: Final = 0.002
_CHARS_PER_TOKEN: Final = 4
_STUB: Final = re.compile(r"(?:stub/)?(fast|slow|ctx|err\d+|s(-[a-z0-9]+)*)")
_TOOL: Final = re.compile(r"TOOL:([A-Za-z0-9_]+)\s*(\{.*\})?", re.DOTALL)
_WORDS: Final = re.compile(r"(?:SLOW|LONG):(\d+)(?::([\d.]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model of the list; ``mode`` is what LiteLLM calls its kind."""

    name: str
    mode: str = "chat"
    provider: str = "openai"
    is_priced: bool = False


MODELS: Final = (
    Model(name="mock-gpt"),
    Model(name="mock-ratelimit"),
    Model(name="mock-internal"),
    Model(name="gpt-4o-mini", is_priced=True),
    Model(name="sandbox-chat", is_priced=True),
    Model(name="stub-chat", is_priced=True),
    Model(name="stub/*", is_priced=True),
    Model(name="emb", mode="embedding"),
    Model(name="text-embedding-3-small", mode="embedding"),
    Model(name="img", mode="image_generation"),
    Model(name="tts", mode="audio_speech"),
    Model(name="stt", mode="audio_transcription"),
    Model(name="mod", mode="moderation"),
    Model(name="rr", mode="rerank", provider="cohere"),
)
_BY_NAME: Final = {model.name: model for model in MODELS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one answer will be.

    Attributes:
        pieces: its text, in the pieces in which it is streamed.
        whole: its text, when it is not streamed.
        wait: seconds before the first piece.
        pause: seconds between two pieces.
        error: the provider's status, when it fails.
        is_too_long: it fails with 400 because the prompt is too long.
        breaks: ``fail`` or ``error`` when a stream ends badly after 3 pieces.
        tool: name and arguments of a tool to call.
        prompt_tokens, completion_tokens: usage of a complete answer.
    """

    pieces: tuple[str, ...] = ("tok ",) * _PIECES
    whole: str = "Hello from the stub."
    wait: float = 0.0
    pause: float = 0.0
    error: int | None = None
    is_too_long: bool = False
    breaks: str = ""
    tool: tuple[str, str] | None = None
    prompt_tokens: int = 10
    completion_tokens: int = 20

    def usage(self, pieces: int | None = None) -> dict[str, int]:
        """Return the usage, of so many pieces when the caller has left before the end."""
        completion = self.completion_tokens if pieces is None else pieces
        total = self.prompt_tokens + completion
        return {
            "completion_tokens": completion,
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": total,
        }


def find_model(name: str) -> Model | None:
    """Return the model of this name, if the proxy has it."""
    return _BY_NAME.get(name) or (_BY_NAME["stub/*"] if _STUB.fullmatch(name) else None)


def cost_of(model: Model, usage: dict[str, int]) -> float:
    """Return what a call costs, in dollars."""
    if not model.is_priced:
        return 0.0
    prompt = usage["prompt_tokens"] * _PROMPT_PRICE
    return prompt + usage["completion_tokens"] * _COMPLETION_PRICE


def plan_answer(name: str, prompt: str, *, after_tool: bool = False) -> Plan:
    """Return what this model answers to this prompt.

    Args:
        name: the model.
        prompt: the last thing that the user, or a tool, has said.
        after_tool: whether a tool has said it.
    """
    match name:
        case "mock-gpt":
            text = "Hello from LiteLLM mock."
            return Plan(pieces=_split(text), whole=text, prompt_tokens=8)
        case "mock-ratelimit":
            return Plan(error=429)
        case "mock-internal":
            return Plan(error=500)
        case "stub-chat":
            return _obey(prompt, after_tool=after_tool)
        case "sandbox-chat":
            plan = _obey(prompt, after_tool=after_tool)
            return replace(plan, pause=plan.pause or _TYPING_SECONDS)
    return _behave(name.removeprefix("stub/"))


def _behave(behaviour: str) -> Plan:
    number = {letter: _number(behaviour, letter) for letter in "nd"}
    if behaviour == "ctx":
        return Plan(error=400, is_too_long=True)
    if found := re.fullmatch(r"err(\d+)", behaviour):
        return Plan(error=int(found[1]))
    return Plan(
        pieces=("tok ",) * (number["n"] or _PIECES),
        wait=_SLOW_SECONDS if behaviour == "slow" else 0.0,
        pause=(number["d"] or 0) / 1000,
        breaks="fail" if "midfail" in behaviour else "error" if "miderr" in behaviour else "",
    )


def _obey(prompt: str, *, after_tool: bool) -> Plan:
    plan = Plan(prompt_tokens=max(1, len(prompt) // _CHARS_PER_TOKEN), completion_tokens=10)
    if after_tool:
        text = f"tool returned: {prompt[:200]}"
        return replace(plan, pieces=_split(text), whole=text)
    if found := re.search(r"ERR:(\d+)", prompt):
        return replace(plan, error=int(found[1]))
    if re.search(r"\bCTX\b", prompt):
        return replace(plan, error=400, is_too_long=True)
    if found := _TOOL.search(prompt):
        return replace(plan, pieces=(), whole="", tool=(found[1], found[2] or "{}"))
    text = f"stub says: {prompt}"
    if found := _WORDS.search(prompt):
        text = " ".join(f"w{number}" for number in range(int(found[1])))
        plan = replace(plan, pause=float(found[2] or 0))
    return replace(plan, pieces=_split(text), whole=text)


def _split(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\S+\s*", text))


def _number(behaviour: str, letter: str) -> int | None:
    found = re.search(rf"-{letter}(\d+)", behaviour)
    return int(found[1]) if found else None


def last_words(messages: Any) -> tuple[str, bool]:
    """Return the last user or tool text of a conversation, and whether a tool has said it."""
    if isinstance(messages, str):
        return messages, False
    if not isinstance(messages, list):
        return "", False
    rows = [row for row in messages if isinstance(row, dict)]
    if rows and rows[-1].get("role") == "tool":
        return _text(rows[-1]), True
    said = (row for row in reversed(rows) if row.get("role") == "user")
    return next((_text(row) for row in said), ""), False


def _text(message: Row) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
