from __future__ import annotations

from collections.abc import Iterator

import pytest
from channels.db import database_sync_to_async
from pytest_django import Settings

from accounts import services
from accounts.models import User
from accounts.principals.identify import identify, identify_token
from accounts.tokens import guesses
from accounts.websocket import authenticated
from gateway_core import context
from gateway_core.asgi import Message, Receive, Scope, Send
from gateway_core.errors import AccountSuspended, RateLimited, TokenRejected
from tests.accounts.mint import Signer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sign_in_service", "_an_address"),
]


@pytest.fixture
def _an_address(settings: Settings) -> Iterator[None]:
    settings.ENABLE_RATE_LIMITING = True
    guesses._buckets.clear()
    token = context.current.set(None)
    context.begin({"headers": [], "path": "/", "client": ("203.0.113.9", 1)})
    yield
    context.current.reset(token)
    guesses._buckets.clear()


async def guess_too_often() -> None:
    for number in range(60):
        with pytest.raises(TokenRejected):
            await identify(b"Bearer nonsense%d" % number)
    with pytest.raises(RateLimited):
        await identify(b"Bearer nonsense")


async def test_one_address_does_not_stop_another(signer: Signer) -> None:
    await guess_too_often()
    with pytest.raises(RateLimited):
        await identify(b"Bearer " + signer.token())
    context.begin({"headers": [], "path": "/", "client": ("203.0.113.10", 1)})
    assert await identify(b"Bearer " + signer.token())


async def test_who_is_under_way_is_looked_at_however_many_guess_there(signer: Signer) -> None:
    authorization = b"Bearer " + signer.token()
    known = await identify(authorization)
    await guess_too_often()
    staff = await database_sync_to_async(User.objects.create_superuser)("root")
    suspend = database_sync_to_async(services.suspend_user)
    await suspend(user_id=known.user_id, by=staff)
    with pytest.raises(AccountSuspended):
        await identify(authorization, known=known)


async def test_a_server_of_ours_is_never_stopped(signer: Signer) -> None:
    await guess_too_often()
    assert await identify_token(signer.token())


async def test_guesses_over_websockets_count_too(signer: Signer) -> None:
    assert [await _told_over_websocket(b"nonsense%d" % number) for number in range(61)] == [
        *[4401] * 60,
        4429,
    ]
    with pytest.raises(RateLimited):
        await identify(b"Bearer " + signer.token())


async def _told_over_websocket(token: bytes) -> int:
    """Return the code with which a connection that shows a token is closed."""
    sent: list[Message] = []

    async def nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pytest.fail("nobody may come in")

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": "/",
        "headers": [],
        "client": ("203.0.113.9", 1),
        "subprotocols": [f"bearer.{token.decode()}"],
    }
    await authenticated(nothing)(scope, receive, send)
    code: int = sent[-1]["code"]
    return code
