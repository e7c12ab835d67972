"""A bound for bodies of the control plane: Django has them on disk before it asks whose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from gateway_core import context, errors
from gateway_core.errors import BodyTooLarge

if TYPE_CHECKING:
    from gateway_core.asgi import Application, Message, Receive, Scope, Send


def bounded(application: Application) -> Application:
    """Answer with 413 as soon as a body has more bytes than any view takes."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        left = _most_bytes()

        async def receive_bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            # Django gives up the request then, and closes its file.
            return message if left >= 0 else {"type": "http.disconnect"}

        await application(scope, receive_bounded, send)
        if left < 0:
            await _refuse(send)

    return handle


def _most_bytes() -> int:
    return max(
        settings.MAX_JSON_BYTES,
        settings.MAX_TEMPLATE_BYTES,
        settings.MAX_BUNDLE_BYTES,
        settings.MAX_AGENT_FILE_BYTES,
    )


async def _refuse(send: Send) -> None:
    error = BodyTooLarge(f"The body is larger than {_most_bytes()} bytes.")
    record = context.current.get()
    if record is not None:
        record.error_code = error.code
    body = errors.encode(error, context.request_id())
    fields = {
        "content-type": errors.MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
        **errors.response_headers(error),
    }
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
