"""The secret leaves the path before anything else sees the request.

Letta is given ``…/agents/{user_id}/proxy/{secret}/agents/{agent_id}`` to call models at. What goes
on from here reads ``…/agents/{user_id}/proxy/…``, with the rest beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes
from uuid import UUID

from gateway_core import context
from gateway_core.errors import Code
from llm_proxy.agent_proxy.refusals import note_refusal

if TYPE_CHECKING:
    from gateway_core.asgi import Application, Message, Receive, Scope, Send

_MEMBER: Final = "agent_address"
_PATH: Final = re.compile(
    rb"(/api/v1/agents/([^/]+)/proxy)(?:/(gws_[^/]*))?(?:/agents/([^/]+))?(/.*)?", re.DOTALL
).fullmatch
_FIRST_ERROR: Final = 400
_EMBEDDING: Final = "/embeddings"
# Nothing has been sent on, and it may go better the next time.
_HARMLESS: Final = frozenset(
    {
        Code.GATEWAY_DATABASE_UNAVAILABLE,
        Code.GATEWAY_OVERLOADED,
        Code.QUOTA_TOO_MANY_CONCURRENT,
        Code.UPSTREAM_CIRCUIT_OPEN,
        Code.UPSTREAM_UNREACHABLE,
    }
)


@dataclass(frozen=True, slots=True)
class Addressed:
    """What the path of a request said, as it was written. Nothing of it is proved.

    Attributes:
        agent_id: who is said to call, empty when nobody is.
    """

    user_id: str = ""
    secret: bytes = b""
    agent_id: str = ""


def addressed(scope: Scope) -> Addressed:
    """Return what the path of a request has said."""
    found: Addressed = scope[_MEMBER]
    return found


def without_secret(application: Application) -> Application:
    """Wrap the route of agents: no secret in the path, no repeats that could cost twice."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        cleaned = _cleaned(scope)
        is_embedding = cleaned["path"].endswith(_EMBEDDING)
        await application(cleaned, receive, _discouraging(send, is_embedding=is_embedding))

    return handle


def _cleaned(scope: Scope) -> Scope:
    raw = scope.get("raw_path") or scope["path"].encode()
    match = _PATH(raw)
    if match is None:
        return {**scope, _MEMBER: Addressed()}
    head, user_id, secret, agent_id, rest = match.groups(b"")
    path = head + rest
    said = Addressed(user_id.decode("latin-1"), secret, agent_id.decode("latin-1"))
    shown = unquote_to_bytes(path).decode(errors="replace")
    return {**scope, "raw_path": path, "path": shown, _MEMBER: said}


def _discouraging(send: Send, *, is_embedding: bool) -> Send:
    """Keep Letta's client from its two repeats of 429 and 5xx (measured), but for some errors.

    Embeddings are not repeated at all: Letta itself does that eleven times more (measured).
    """

    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= _FIRST_ERROR:
            code = await _noted(is_embedding=is_embedding)
            if is_embedding or code not in _HARMLESS:
                fields = [pair for pair in message["headers"] if pair[0] != b"x-should-retry"]
                message["headers"] = [*fields, (b"x-should-retry", b"false")]
        await send(message)

    return send_on


async def _noted(*, is_embedding: bool) -> str:
    """Return the code of the error, known by now to those who have to tell of it."""
    record = context.current.get()
    if record is None:
        return ""
    if is_embedding and record.user_id and record.error_code:
        await note_refusal(UUID(record.user_id), Code(record.error_code))
    return record.error_code
