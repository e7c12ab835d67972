from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async
from django.db import connection

from accounts.models import User
from accounts.principals.identify import identify, identify_token_sync
from tests.accounts.mint import Signer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sign_in_service")]
FIRST_REQUESTS = 50


async def test_makes_one_user_of_many_first_requests_of_the_data_plane(signer: Signer) -> None:
    me = uuid4()
    tokens = [signer.token(sub=str(me)) for _ in range(FIRST_REQUESTS)]
    found = await asyncio.gather(*(identify(b"Bearer " + token) for token in tokens))
    assert {principal.user_id for principal in found} == {me}
    assert await database_sync_to_async(lambda: [user.pk for user in User.objects.all()])() == [me]


def test_makes_one_user_of_many_first_requests_of_the_control_plane(signer: Signer) -> None:
    me = uuid4()
    barrier = threading.Barrier(FIRST_REQUESTS)

    def first_request(token: bytes) -> object:
        barrier.wait(10)
        try:
            return identify_token_sync(token).user_id
        finally:
            connection.close()

    tokens = [signer.token(sub=str(me)) for _ in range(FIRST_REQUESTS)]
    with ThreadPoolExecutor(FIRST_REQUESTS) as pool:
        assert set(pool.map(first_request, tokens)) == {me}
    assert [user.pk for user in User.objects.all()] == [me]
