"""The model behind an endpoint: chat completions and embeddings in OpenAI's protocol."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core.errors import UpstreamError
from gateway_project.sandbox.letta import model_errors
from gateway_project.sandbox.letta.model import Delta

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway_core.http import UpstreamClient, UpstreamResponse
    from gateway_project.sandbox.letta.model import Prompt

_LIMIT_BYTES: Final = 8 * 1024 * 1024
_ERRORS_FROM: Final = 400
_SERVER_ERRORS_FROM: Final = 500
_REPEATED: Final = frozenset({408, 409, 429})
_REPEATS: Final = 2


class EmbeddingRefusedError(Exception):
    """The endpoint gave no vector; the text is what the real server tells of it."""


async def answer(client: UpstreamClient, prompt: Prompt, *, key: str) -> AsyncIterator[Delta]:
    """Yield the answer that the endpoint of ``prompt.config`` gives.

    Args:
        client: with an empty ``base_url``.
        prompt: what is asked.
        key: sent as Bearer.

    Raises:
        ModelError: it failed or can't be reached.
        ContextExceededError: the prompt is too long for it.
    """
    url = prompt.config["model_endpoint"].rstrip("/") + "/chat/completions"
    byok = prompt.config.get("provider_category") == "byok"
    try:
        async with _posted(client, url, _payload(prompt), key) as response:
            if response.status >= _ERRORS_FROM:
                body = _parsed(await response.read(_LIMIT_BYTES))
                raise model_errors.from_answer(response.status, body, byok=byok)
            async for completion in _completions(response, stream=prompt.stream):
                for delta in _deltas(completion):
                    yield delta
    except UpstreamError as exc:
        raise model_errors.no_connection() from exc


async def embed(
    client: UpstreamClient, config: dict[str, Any], texts: Sequence[str], *, key: str
) -> list[object]:
    """Return the vectors of texts.

    Raises:
        EmbeddingRefusedError: the endpoint does not give them.
    """
    url = config["embedding_endpoint"].rstrip("/") + "/embeddings"
    payload = {"model": config["embedding_model"], "input": list(texts)}
    try:
        async with _posted(client, url, payload, key) as response:
            body = _parsed(await response.read(_LIMIT_BYTES))
    except UpstreamError as exc:
        raise EmbeddingRefusedError("Connection error.") from exc
    if response.status >= _ERRORS_FROM or not isinstance(body, dict):
        raise EmbeddingRefusedError(f"Error code: {response.status} - {body}")
    return [one["embedding"] for one in body["data"]]


@asynccontextmanager
async def _posted(
    client: UpstreamClient, url: str, payload: dict[str, Any], key: str
) -> AsyncIterator[UpstreamResponse]:
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    response = await _repeatedly(client, url, headers, orjson.dumps(payload))
    finished = False
    try:
        yield response
        finished = True
    finally:
        response.close(reusable=finished)


async def _repeatedly(
    client: UpstreamClient, url: str, headers: dict[str, str], body: bytes
) -> UpstreamResponse:
    """Return the answer; some errors only after two repeats, as OpenAI's client has it.

    The real one waits in between.
    """
    for _ in range(_REPEATS):
        try:
            response = await client.open("POST", url, headers=headers, body=body)
        except UpstreamError:
            continue
        wanted = response.headers.get("x-should-retry") != "false"
        if not wanted or (
            response.status < _SERVER_ERRORS_FROM and response.status not in _REPEATED
        ):
            return response
        response.close(reusable=False)
    return await client.open("POST", url, headers=headers, body=body)


def _payload(prompt: Prompt) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "model": prompt.config["model"],
        "messages": prompt.messages,
        "user": prompt.user,
        "temperature": prompt.config.get("temperature", 1.0),
        "max_completion_tokens": prompt.config.get("max_tokens"),
    }
    if prompt.tools:
        payload |= {"tools": prompt.tools, "tool_choice": "auto"}
    if prompt.stream:
        payload |= {"stream": True, "stream_options": {"include_usage": True}}
    return payload


async def _completions(
    response: UpstreamResponse, *, stream: bool
) -> AsyncIterator[dict[str, Any]]:
    """Yield the answer's completion objects: the chunks of a stream, or the only one.

    Raises:
        ModelError: a chunk is an error, at which OpenAI's SDK ends the stream as well.
    """
    if not stream:
        body = _parsed(await response.read(_LIMIT_BYTES))
        if not isinstance(body, dict) or "choices" not in body:
            raise model_errors.not_an_answer()
        yield body
        return
    pending = b""
    async for chunk in response.chunks():
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if line.startswith(b"data:") and data != b"[DONE]":
                completion = json.loads(data)
                if completion.get("error"):
                    raise model_errors.in_a_stream(completion["error"])
                yield completion


def _deltas(completion: dict[str, Any]) -> list[Delta]:
    deltas = []
    for choice in completion.get("choices") or []:
        said = choice.get("delta") or choice.get("message") or {}
        if text := said.get("content"):
            deltas.append(Delta(text=text))
        deltas += [_call(c) for c in said.get("tool_calls") or []]
    if usage := completion.get("usage"):
        deltas.append(
            Delta(
                prompt_tokens=usage.get("prompt_tokens", 0),
                completion_tokens=usage.get("completion_tokens", 0),
            )
        )
    return deltas


def _call(call: dict[str, Any]) -> Delta:
    function = call.get("function") or {}
    return Delta(
        call_id=call.get("id") or "",
        call_name=function.get("name") or "",
        arguments=function.get("arguments") or "",
    )


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")
