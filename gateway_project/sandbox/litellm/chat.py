"""Chat completions and text completions, whole or streamed."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response, StreamingResponse

from gateway_project.sandbox.litellm.bodies import json_of
from gateway_project.sandbox.litellm.calls import Call, begin
from gateway_project.sandbox.litellm.models import Plan
from gateway_project.sandbox.litellm.problems import ProxyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from gateway_project.sandbox.litellm.state import Row

_DONE: Final = b"data: [DONE]\n\n"
_PIECES_BEFORE_BREAK: Final = 3
_ARGUMENT_CHARS: Final = 12


async def chat_completions(request: Request) -> Response:
    """Answer a conversation; a comma list of models gives a list of answers."""
    body = await json_of(request)
    name = request.path_params.get("model") or body.get("model")
    if isinstance(name, str) and "," in name:
        return JSONResponse([await _whole(request, body, part) for part in name.split(",")])
    call = begin(request, body, kind="acompletion", name=name)
    if "messages" not in body:
        call.settle(Plan(), status="failure")
        text = "/chat/completions: Missing required parameter: 'messages'."
        raise ProxyError(400, "invalid_request_error", text, param="messages")
    plan = await call.plan(body["messages"], body.get("timeout"))
    if body.get("stream"):
        return stream(call, _chunks(call, plan, body))
    await asyncio.sleep(plan.pause * len(plan.pieces))
    cost = call.settle(plan)
    return JSONResponse(_completion(call, plan), headers=call.headers(cost))


async def completions(request: Request) -> Response:
    """Continue a text."""
    body = await json_of(request)
    call = begin(request, body, kind="atext_completion")
    plan = await call.plan(str(body.get("prompt") or ""), body.get("timeout"))
    base = {"id": call.answer_id, "object": "text_completion", "model": call.name}
    if body.get("stream"):
        return stream(call, _text_chunks(call, plan, base, body))
    choice = {"finish_reason": "stop", "index": 0, "text": plan.whole, "logprobs": None}
    answer = {**base, "created": int(time.time()), "choices": [choice], "usage": plan.usage()}
    return JSONResponse(answer, headers=call.headers(call.settle(plan)))


async def pieces_of(call: Call, plan: Plan) -> AsyncIterator[str]:
    """Yield the pieces of a streamed answer at their pace and bill it, however it ends.

    Raises:
        ProxyError: the provider broke off; the proxy tells that within the stream.
    """
    sent, status = 0, "success"
    try:
        for piece in plan.pieces:
            if sent:
                await asyncio.sleep(plan.pause)
            if plan.breaks and sent == _PIECES_BEFORE_BREAK:
                status = "failure"
                raise _broken(plan)
            yield piece
            sent += 1
        call.settle(plan)
    finally:
        call.settle(plan, pieces=sent, status=status)


def event(data: Any, name: str = "") -> bytes:
    """Return a server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def stream(call: Call, events: AsyncIterator[bytes]) -> Response:
    """Return events as the answer, with the headers that keep proxies from buffering."""
    headers = {**call.headers(), "cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(events, headers=headers, media_type="text/event-stream")


async def _whole(request: Request, body: Row, name: str) -> Row:
    call = begin(request, body, kind="acompletion", name=name)
    plan = await call.plan(body.get("messages"), body.get("timeout"))
    call.settle(plan)
    return _completion(call, plan)


def _completion(call: Call, plan: Plan) -> Row:
    message: Row = {"content": plan.whole or None, "role": "assistant"}
    if plan.tool:
        message["tool_calls"] = [_tool_call(*plan.tool)]
    finish = "tool_calls" if plan.tool else "stop"
    return {
        "id": call.answer_id,
        "created": int(time.time()),
        "model": call.name,
        "object": "chat.completion",
        "choices": [{"finish_reason": finish, "index": 0, "message": message}],
        "usage": plan.usage(),
    }


async def _chunks(call: Call, plan: Plan, body: Row) -> AsyncIterator[bytes]:
    base = {
        "id": call.answer_id,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": call.name,
    }

    def chunk(delta: Row, **members: Any) -> bytes:
        return event({**base, "choices": [{"index": 0, "delta": delta, **members}]})

    yield chunk({"role": "assistant", "content": ""})
    try:
        async for piece in pieces_of(call, plan):
            yield chunk({"content": piece})
    except ProxyError as exc:
        yield event(exc.body)
        yield _DONE
        return
    for delta in _tool_deltas(plan):
        yield chunk(delta)
    yield chunk({}, finish_reason="tool_calls" if plan.tool else "stop")
    if (body.get("stream_options") or {}).get("include_usage"):
        usage = plan.usage() | {"cost": call.settle(plan)}
        yield event({**base, "choices": [], "usage": usage})
    yield _DONE


async def _text_chunks(call: Call, plan: Plan, base: Row, body: Row) -> AsyncIterator[bytes]:
    base = {**base, "created": int(time.time())}
    try:
        async for piece in pieces_of(call, plan):
            yield event({**base, "choices": [{"index": 0, "text": piece, "finish_reason": None}]})
    except ProxyError as exc:
        yield event(exc.body)
        yield _DONE
        return
    yield event({**base, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        yield event({**base, "choices": [], "usage": plan.usage() | {"cost": call.settle(plan)}})
    yield _DONE


def _tool_call(name: str, arguments: str) -> Row:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


def _tool_deltas(plan: Plan) -> list[Row]:
    if plan.tool is None:
        return []
    name, arguments = plan.tool
    deltas: list[Row] = [{"tool_calls": [{"index": 0, **_tool_call(name, "")}]}]
    for start in range(0, len(arguments), _ARGUMENT_CHARS):
        part = {"arguments": arguments[start : start + _ARGUMENT_CHARS]}
        deltas.append({"tool_calls": [{"index": 0, "function": part}]})
    return deltas


def _broken(plan: Plan) -> ProxyError:
    text = "litellm.MidStreamFallbackError: litellm.APIConnectionError: APIConnectionError: "
    if plan.breaks == "error":
        text = "litellm.APIError: APIError: OpenAIException - stub overloaded mid-stream"
    return ProxyError(500, "internal_server_error", text)
