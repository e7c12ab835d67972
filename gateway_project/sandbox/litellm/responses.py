"""OpenAI's Responses API and Anthropic's Messages API, whole or streamed."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from gateway_project.sandbox.litellm.bodies import json_of
from gateway_project.sandbox.litellm.calls import Call, begin
from gateway_project.sandbox.litellm.chat import event, pieces_of, stream
from gateway_project.sandbox.litellm.problems import ProxyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from gateway_project.sandbox.litellm.models import Plan
    from gateway_project.sandbox.litellm.state import Row


async def responses(request: Request) -> Response:
    """Answer ``POST /v1/responses``."""
    body = await json_of(request)
    call = begin(request, body, kind="aresponses")
    plan = await call.plan(body.get("input"), body.get("timeout"))
    if body.get("stream"):
        return stream(call, _response_events(call, plan))
    cost = call.settle(plan)
    answer = _response(call, plan, call.answer_id)
    return JSONResponse(answer, headers=call.headers(cost))


async def messages(request: Request) -> Response:
    """Answer ``POST /v1/messages``."""
    body = await json_of(request)
    call = begin(request, body, kind="anthropic_messages")
    plan = await call.plan(body.get("messages"), body.get("timeout"))
    if body.get("stream"):
        return stream(call, _message_events(call, plan))
    content = [{"type": "text", "text": plan.whole}]
    answer = {**_message(call), "content": content, "usage": _usage(plan)}
    headers = call.headers(call.settle(plan))
    return JSONResponse({**answer, "stop_reason": "end_turn"}, headers=headers)


async def _response_events(call: Call, plan: Plan) -> AsyncIterator[bytes]:
    response_id, item_id = call.answer_id, f"msg_{uuid.uuid4().hex}"
    place: Row = {"item_id": item_id, "output_index": 0, "content_index": 0}
    number = 0

    def numbered(kind: str, **members: object) -> bytes:
        nonlocal number
        number += 1
        return event({"type": kind, "sequence_number": number - 1, **members}, kind)

    begun = _response(call, plan, response_id, status="in_progress") | {"output": []}
    item = _item(item_id, "") | {"status": "in_progress", "content": []}
    yield numbered("response.created", response=begun)
    yield numbered("response.in_progress", response=begun)
    yield numbered("response.output_item.added", output_index=0, item=item)
    yield numbered("response.content_part.added", **place, part=_part(""))
    said = ""
    try:
        async for piece in pieces_of(call, plan):
            said += piece
            yield numbered("response.output_text.delta", **place, delta=piece, logprobs=[])
    except ProxyError as exc:
        yield numbered("error", **exc.body["error"])
        return
    done = _response(call, plan, response_id, text=said, item_id=item_id)
    yield numbered("response.output_text.done", **place, text=said, logprobs=[])
    yield numbered("response.content_part.done", **place, part=_part(said))
    yield numbered("response.output_item.done", output_index=0, item=_item(item_id, said))
    yield numbered("response.completed", response=done)


async def _message_events(call: Call, plan: Plan) -> AsyncIterator[bytes]:
    begun = {**_message(call), "content": [], "usage": {"input_tokens": 0, "output_tokens": 0}}
    yield event({"type": "message_start", "message": begun}, "message_start")
    block = {"index": 0, "content_block": {"type": "text", "text": ""}}
    yield event({"type": "content_block_start", **block}, "content_block_start")
    try:
        async for piece in pieces_of(call, plan):
            delta = {"index": 0, "delta": {"type": "text_delta", "text": piece}}
            yield event({"type": "content_block_delta", **delta}, "content_block_delta")
    except ProxyError as exc:
        error = {"type": "api_error", "message": exc.body["error"]["message"]}
        yield event({"type": "error", "error": error}, "error")
        return
    yield event({"type": "content_block_stop", "index": 0}, "content_block_stop")
    delta = {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": _usage(plan)}
    yield event({"type": "message_delta", **delta}, "message_delta")
    yield event({"type": "message_stop"}, "message_stop")


def _response(  # noqa: PLR0913 - the members that differ between the moments of one response
    call: Call,
    plan: Plan,
    response_id: str,
    *,
    status: str = "completed",
    text: str | None = None,
    item_id: str = "msg_1",
) -> Row:
    usage = _usage(plan) | {"total_tokens": plan.usage()["total_tokens"]}
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "model": call.name,
        "output": [_item(item_id, plan.whole if text is None else text)],
        "usage": usage if status == "completed" else None,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "previous_response_id": None,
    }


def _item(item_id: str, text: str) -> Row:
    content = [_part(text)]
    head = {"id": item_id, "type": "message", "role": "assistant", "status": "completed"}
    return {**head, "content": content}


def _part(text: str) -> Row:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": None}


def _message(call: Call) -> Row:
    head = {"id": call.answer_id, "type": "message", "role": "assistant"}
    return {**head, "model": call.name, "stop_reason": None, "stop_sequence": None}


def _usage(plan: Plan) -> Row:
    return {"input_tokens": plan.prompt_tokens, "output_tokens": plan.completion_tokens}
