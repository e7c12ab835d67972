"""The routes that answer with something other than text: vectors, images, sound, verdicts."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response, StreamingResponse

from gateway_project.sandbox.litellm.bodies import json_of, missing
from gateway_project.sandbox.litellm.calls import Call, begin
from gateway_project.sandbox.litellm.models import Plan
from gateway_project.sandbox.litellm.problems import ProxyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from gateway_project.sandbox.litellm.state import Row

_DIMENSIONS: Final = 1536
_FREE: Final = Plan(prompt_tokens=5, completion_tokens=0)
_SOUND: Final = b"ID3fakeaudio" * 25
_SOUND_PIECES: Final = 4


async def embeddings(request: Request) -> Response:
    """Turn texts into vectors, the same for the same text."""
    body = await json_of(request)
    call = begin(request, body, kind="aembedding")
    _require(call, body, "input")
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [
        {"embedding": _vector(call, str(text), body), "index": index, "object": "embedding"}
        for index, text in enumerate(texts)
    ]
    answer = {"model": call.name, "data": data, "object": "list", "usage": _FREE.usage()}
    return _answer(call, answer)


async def images(request: Request) -> Response:
    """Draw a picture of two bytes."""
    body = await json_of(request)
    call = begin(request, body, kind="aimage_generation")
    _require(call, body, "prompt")
    image = {"b64_json": "aGk=", "revised_prompt": None, "url": None}
    return _answer(call, {"created": int(time.time()), "data": [image]})


async def speech(request: Request) -> Response:
    """Read a text aloud, in several pieces of bytes."""
    body = await json_of(request)
    call = begin(request, body, kind="aspeech")
    _require(call, body, "input")
    headers = call.headers(call.settle(_FREE))

    async def sound() -> AsyncIterator[bytes]:
        for _ in range(_SOUND_PIECES):
            yield _SOUND

    return StreamingResponse(sound(), headers=headers, media_type="audio/mpeg")


async def transcriptions(request: Request) -> Response:
    """Write down what was said; the answer tells how much sound came."""
    async with request.form() as form:
        fields: Row = {name: value for name, value in form.items() if isinstance(value, str)}
        call = begin(request, fields, kind="atranscription")
        file = form.get("file")
        if not isinstance(file, UploadFile):
            call.settle(_FREE, status="failure")
            raise missing("file")
        size = file.size
    duration = (size or 0) / 1000
    return _answer(call, {"text": "hello world", "usage": None, "duration": duration})


async def moderations(request: Request) -> Response:
    """Judge a text: only one with the word ``hate`` is flagged."""
    body = await json_of(request)
    call = begin(request, body, kind="amoderation")
    _require(call, body, "input")
    flagged = "hate" in str(body["input"])
    verdict = {"categories": {"hate": flagged}, "category_scores": {"hate": float(flagged)}}
    result = {**verdict, "flagged": flagged}
    return _answer(call, {"id": call.answer_id, "model": call.name, "results": [result]})


async def rerank(request: Request) -> Response:
    """Order documents: as they came."""
    body = await json_of(request)
    call = begin(request, body, kind="arerank")
    _require(call, body, "query")
    count = len(body.get("documents") or [])
    results = [
        {"index": index, "relevance_score": round(0.9 - index / 100, 2)}
        for index in range(min(count, body.get("top_n") or count))
    ]
    meta = {"billed_units": {"search_units": 1}}
    return _answer(call, {"id": call.answer_id, "results": results, "meta": meta})


def _answer(call: Call, body: Row) -> Response:
    return JSONResponse(body, headers=call.headers(call.settle(_FREE)))


def _require(call: Call, body: Row, name: str) -> None:
    if name not in body:
        call.settle(_FREE, status="failure")
        text = f"Missing required parameter: '{name}'."
        raise ProxyError(400, "invalid_request_error", text, param=name)


def _vector(call: Call, text: str, body: Row) -> Any:
    if call.name == "emb":
        return [0.1, 0.2, 0.3]
    digest = hashlib.sha256(text.encode()).digest()
    size = body.get("dimensions") or _DIMENSIONS
    return [((digest[i % 32] + i) % 256) / 255 - 0.5 for i in range(size)]
