"""The least that a relay can be: what the gateway's cost is measured against.

ASGI in, aiohttp out, the answer streamed; no identity, no limits, no log. ``UPSTREAM`` is the base
URL that it relays to.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from gateway_core.asgi import Receive, Scope, Send

_sessions: list[aiohttp.ClientSession] = []


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Relay one request."""
    if scope["type"] != "http":
        return
    if not _sessions:
        connector = aiohttp.TCPConnector(limit=0)
        _sessions.append(aiohttp.ClientSession(connector=connector, auto_decompress=False))
    async with _sessions[0].request(
        scope["method"],
        os.environ["UPSTREAM"] + scope["path"],
        headers={"content-type": "application/json", "authorization": "Bearer sk-none"},
        data=await _read(receive),
        allow_redirects=False,
    ) as answer:
        content_type = answer.headers["content-type"].encode()
        headers = [(b"content-type", content_type)]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        async for chunk in answer.content.iter_any():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body
