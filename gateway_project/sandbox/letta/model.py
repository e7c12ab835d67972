"""The deterministic model. It obeys directives in the user's text, else it echoes the text.

TOOL:<name> {json}   call that tool, then tell what it returned
SLOW:<n>:<seconds>   answer n words with that pause before each
LONG:<n>             answer n words
ERR:<status>         fail as a model provider that answers this status
CTX                  fail because the prompt is too long
DROP                 break off before the first word
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway_project.sandbox.letta import model_errors
from gateway_project.sandbox.letta.messages import text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway_project.sandbox.letta.store import Row

CONTEXT_TOKENS: Final = 32000
_ARGUMENT_CHARS: Final = 12
_TOOL: Final = re.compile(r"TOOL:([A-Za-z0-9_]+)\s*(\{.*\})?", re.DOTALL)
_SLOW: Final = re.compile(r"SLOW:(\d+):([\d.]+)")
_LONG: Final = re.compile(r"LONG:(\d+)")
_ERROR: Final = re.compile(r"ERR:(\d+)")
_CODES: Final = {429: "rate_limit_exceeded", 401: "invalid_api_key", 402: "insufficient_quota"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked, whoever answers.

    Attributes:
        config: the agent's ``llm_config``.
        messages: as in an OpenAI chat completion.
        tools: the functions that the model may call, likewise.
        user: id of the actor, sent as OpenAI's ``user``.
        stream: whether the answer is wanted piece by piece.
    """

    config: Row
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    user: str
    stream: bool


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer: of its text, of a tool call, or its final usage."""

    text: str = ""
    call_id: str = ""
    call_name: str = ""
    arguments: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


async def answer(prompt: Prompt, compose: Callable[[str], str]) -> AsyncIterator[Delta]:
    """Yield the answer to a prompt.

    Args:
        prompt: what is asked.
        compose: makes the answer to a text that has no directive.

    Raises:
        ModelError: the text asked for a failure.
        ContextExceededError: likewise.
    """
    user = _last_user_text(prompt)
    _fail_if_asked(user)
    if "DROP" in user.split():
        yield Delta()
        return
    returned = _tool_result(prompt)
    called = _TOOL.search(user)
    if called and returned is None:
        for delta in _call(called[1], called[2] or "{}"):
            yield delta
    else:
        async for delta in _speak(user, returned, compose):
            yield delta
    yield Delta(prompt_tokens=_tokens(prompt), completion_tokens=10)


def echo(text: str) -> str:
    """Return what the model says without a directive."""
    return f"stub says: {text}"


async def _speak(
    user: str, returned: str | None, compose: Callable[[str], str]
) -> AsyncIterator[Delta]:
    slow, long = _SLOW.search(user), _LONG.search(user)
    pause = float(slow[2]) if slow else 0.0
    if returned is not None:
        text = f"tool returned: {returned[:200]}"
    elif slow or long:
        count = int((slow or long)[1])  # type: ignore[index]
        text = " ".join(f"w{i}" for i in range(count))
    else:
        text = compose(user)
    for word in re.findall(r"\S+\s*", text):
        if pause:
            await asyncio.sleep(pause)
        yield Delta(text=word)


def _call(name: str, arguments: str) -> list[Delta]:
    call_id = f"call_{time.time_ns() // 1000}"
    pieces = range(0, len(arguments), _ARGUMENT_CHARS)
    return [
        Delta(call_id=call_id, call_name=name),
        *(Delta(call_id=call_id, arguments=arguments[i : i + _ARGUMENT_CHARS]) for i in pieces),
    ]


def _fail_if_asked(user: str) -> None:
    if "CTX" in user.split():
        raise model_errors.from_answer(
            400,
            {
                "error": {
                    "message": f"This model's maximum context length is {CONTEXT_TOKENS} tokens. "
                    "However, your messages resulted in 99999 tokens.",
                    "type": "invalid_request_error",
                    "param": "messages",
                    "code": "context_length_exceeded",
                }
            },
        )
    if asked := _ERROR.search(user):
        status = int(asked[1])
        error = {"message": f"stub error {status}", "type": "stub_error"}
        raise model_errors.from_answer(
            status, {"error": error | {"code": _CODES.get(status, "stub")}}
        )


def _last_user_text(prompt: Prompt) -> str:
    for message in reversed(prompt.messages):
        if message["role"] == "user":
            return text_of(message["content"])
    return ""


def _tool_result(prompt: Prompt) -> str | None:
    last = prompt.messages[-1] if prompt.messages else {}
    return text_of(last["content"]) if last.get("role") == "tool" else None


def _tokens(prompt: Prompt) -> int:
    return max(1, len(json.dumps([prompt.messages, prompt.tools])) // 4)
