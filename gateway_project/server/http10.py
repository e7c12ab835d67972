"""Answers to clients of HTTP/1.0, which has no chunks: the connection's end is the body's.

uvicorn writes chunks there, too, which RFC 9112 forbids in section 6.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from gateway_core.asgi import Application, Message, Receive, Scope, Send


def until_close(application: Application, cycle: RequestResponseCycle) -> Application:
    """Return the application with its answer as it is, whatever its length will be.

    Args:
        cycle: the request that is answered; its connection closes after it.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        has_length = True

        async def send_plain(message: Message) -> None:
            nonlocal has_length
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message.get("headers", ())}
                has_length = b"content-length" in names
            if not has_length:
                cycle.chunked_encoding = False
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await application(scope, receive, send_plain)

    return answer
