"""Keeps a list of every key that the run makes, and looks for them in all that comes out.

What comes out is the log and each answer of the gateway, on both planes, admin pages included. A
key's own answer, when it is made or rotated, is the only place for the secret of an API key.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from django.utils.decorators import sync_and_async_middleware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway_core.asgi import Application, Message, Receive, Scope, Send

_KEYS: set[bytes] = set()
_LIKELY: Final = re.compile(rb"sk-[A-Za-z0-9_-]{16,}|gw[ks]_[A-Za-z0-9_-]{32,}").findall
_LONGEST: Final = 128
_SHOWN_ONCE: Final = re.compile(r"/api/v1/llm/keys/?\Z|/api/v1/llm/keys/[^/]+/rotate/?\Z").match

found: list[str] = []


def watch() -> None:
    """Begin: note keys as they are made. Call it when Django is set up, before tests import it."""
    from gateway_core import crypto  # noqa: PLC0415 - needs settings
    from llm_proxy.agent_proxy import secrets as agent_secrets  # noqa: PLC0415 - likewise
    from llm_proxy.api_keys import secret as api_keys  # noqa: PLC0415 - likewise

    crypto.encrypt = _noting_argument(crypto.encrypt)  # type: ignore[assignment]
    _note_results_of(agent_secrets.secret_of)
    _note_results_of(api_keys.new_secret)


@contextmanager
def watched_log() -> Iterator[None]:
    """Have lines of a log that is set up in the block looked through before secrets are masked."""
    from gateway_core import logging  # noqa: PLC0415 - of this checkout, once it can be imported

    mask = logging.mask

    def scanning_mask(_logger: Any, _method: str, line: Any) -> str:
        scan(line.encode(errors="replace"), "the log")
        return mask(_logger, _method, line)

    logging.mask = scanning_mask
    try:
        yield
    finally:
        logging.mask = mask


def scan(data: bytes, place: str) -> None:
    """Look through what came out at a place."""
    keys = _KEYS.intersection(_LIKELY(data))
    found.extend(f"{key[:8].decode()}… in {place}" for key in keys)


def scanning(application: Application) -> Application:
    """Wrap an application: what it sends is looked through."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        held = b""
        is_place_for_one = scope["type"] == "http" and _SHOWN_ONCE(scope["path"])

        async def send_scanned(message: Message) -> None:
            nonlocal held
            piece = message.get("body") or message.get("bytes") or b""
            piece += (message.get("text") or "").encode()
            piece += b"\n".join(value for _, value in message.get("headers", ()))
            if piece and not is_place_for_one:
                scan(held + piece, f"the answer to {scope.get('path')}")
                held = piece[-_LONGEST:]
            await send(message)

        await application(scope, receive, send_scanned)

    return handle


@sync_and_async_middleware
def scanning_middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Look through the answers that Django's own test client gets."""

    def look(request: Any, response: Any) -> Any:
        if not response.streaming and not _SHOWN_ONCE(request.path):
            scan(response.content, f"the page {request.path}")
        return response

    if inspect.iscoroutinefunction(get_response):

        async def answer_async(request: Any) -> Any:
            return look(request, await get_response(request))

        return answer_async

    def answer(request: Any) -> Any:
        return look(request, get_response(request))

    return answer


def _noting_argument(encrypt: Callable[[str, str], str]) -> Callable[[str, str], str]:
    @functools.wraps(encrypt)
    def noting(text: str, bound_to: str) -> str:
        if text.startswith("sk-"):
            _KEYS.add(text.encode())
        return encrypt(text, bound_to)

    return noting


def _note_results_of(make: Callable[..., str]) -> None:
    """Replace a function in every module that has it."""

    @functools.wraps(make)
    def noting(*args: Any, **kwargs: Any) -> str:
        key = make(*args, **kwargs)
        _KEYS.add(key.encode())
        return key

    for module in list(sys.modules.values()):
        if getattr(module, make.__name__, None) is make:
            setattr(module, make.__name__, noting)
