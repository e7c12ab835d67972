from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from channels.db import database_sync_to_async
from django.db import connection
from pytest_django import Settings

from gateway_core import cache
from gateway_core.crypto import SecretUnreadable
from gateway_core.errors import (
    AccountSuspended,
    UpstreamCredentialRejected,
    UpstreamError,
    UpstreamUnreachable,
)
from llm_proxy.client import connections
from llm_proxy.models import VirtualKey
from llm_proxy.virtual_keys import grants
from llm_proxy.virtual_keys.standing import Standing
from tests.conftest import Running
from tests.llm_proxy.conftest import LiteLLMBooks
from tests.llm_proxy.virtual_keys.callers import caller, credential_for

FIRST_REQUESTS = 50
PROCESSES = 4
PROJECT = Path(__file__).resolve().parents[3]


@database_sync_to_async
def only_key() -> VirtualKey:
    return VirtualKey.objects.get()


@database_sync_to_async
def set_state(state: VirtualKey.State) -> None:
    VirtualKey.objects.update(state=state)


async def test_makes_a_user_and_a_key_that_may_only_call_models(
    user_id: UUID, books: LiteLLMBooks
) -> None:
    credential = await credential_for(caller(user_id))

    value = credential.removeprefix("Bearer ")
    assert value.startswith("sk-")
    (key,) = books.keys_of(user_id)
    assert key["token"] == hashlib.sha256(value.encode()).hexdigest()
    assert key["key_type"] == "llm_api"
    assert key["key_alias"].startswith(f"gw:{user_id}:")
    assert books.users() == [str(user_id)]


async def test_keeps_the_value_encrypted(user_id: UUID) -> None:
    credential = await credential_for(caller(user_id))

    key = await only_key()
    value = credential.removeprefix("Bearer ")
    assert key.state == VirtualKey.State.ACTIVE
    assert value not in "".join(str(field) for field in vars(key).values())
    assert value not in str(key) + repr(key)
    assert key.value() == value


async def test_the_value_does_not_open_in_another_row(user_id: UUID) -> None:
    await credential_for(caller(user_id))
    key = await only_key()
    key.pk = UUID(int=7)
    with pytest.raises(SecretUnreadable):
        key.value()


async def test_asks_nobody_when_the_credential_is_known(
    user_id: UUID, litellm: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = await credential_for(caller(user_id))
    calls = len(litellm.requests())
    monkeypatch.setattr(grants, "_of_user", None)

    assert await credential_for(caller(user_id)) == credential
    assert len(litellm.requests()) == calls


async def test_asks_only_the_database_when_the_key_is_active(
    user_id: UUID, litellm: Running
) -> None:
    credential = await credential_for(caller(user_id))
    calls = len(litellm.requests())
    cache.clear_all()

    assert await credential_for(caller(user_id)) == credential
    assert len(litellm.requests()) == calls


async def test_one_process_makes_a_key_once_for_many_first_requests(
    user_id: UUID, litellm: Running
) -> None:
    found = await asyncio.gather(*(credential_for(caller(user_id)) for _ in range(FIRST_REQUESTS)))

    assert len(set(found)) == 1
    assert [call["path"] for call in litellm.requests()] == ["/user/new", "/key/generate"]


def test_writes_one_row_when_none_has_seen_the_others(
    user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = 8
    all_saw_none = threading.Barrier(writers)
    chosen = VirtualKey.chosen

    def choose_together(user_id: UUID, kind: VirtualKey.Kind) -> VirtualKey:
        all_saw_none.wait(10)
        return chosen(user_id, kind)

    def write(_: int) -> str:
        try:
            return VirtualKey.objects.managed(user_id).value()
        finally:
            connection.close()

    monkeypatch.setattr(VirtualKey, "chosen", choose_together)
    with ThreadPoolExecutor(writers) as pool:
        found = set(pool.map(write, range(writers)))

    assert found == {VirtualKey.objects.get().value()}


async def test_several_processes_make_one_key_for_many_first_requests(
    user_id: UUID, books: LiteLLMBooks
) -> None:
    arguments = [
        connection.settings_dict["NAME"],
        str(user_id),
        str(FIRST_REQUESTS // PROCESSES + 1),
    ]
    children = [
        await asyncio.create_subprocess_exec(
            *[
                sys.executable,
                "-m",
                "tests.llm_proxy.virtual_keys.programs.first_requests",
                *arguments,
            ],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]
    for child in children:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"
    found = {answer for answer, _ in await asyncio.gather(*(c.communicate(b"") for c in children))}

    assert found == {(await credential_for(caller(user_id))).encode()}
    assert len(books.keys_of(user_id)) == 1
    assert books.users() == [str(user_id)]


async def test_goes_on_with_the_making_when_the_first_requester_leaves(
    user_id: UUID, litellm: Running
) -> None:
    litellm.fault("^/key/generate$", delay=0.05)
    first = asyncio.ensure_future(credential_for(caller(user_id)))
    second = asyncio.ensure_future(credential_for(caller(user_id)))
    while not litellm.requests("^/key/generate$"):
        await asyncio.sleep(0.005)
    first.cancel()

    assert (await second).startswith("Bearer sk-")
    assert len(litellm.requests("^/key/generate$")) == 1


FAULTS = [
    ("/user/new", {"cut_after": 0}),
    ("/user/new", {"status": 500, "body": {"error": {"type": "internal_server_error"}}}),
    # Something else answers at LiteLLM's address.
    ("/user/new", {"garbage": True}),
    ("/user/new", {"status": 302, "headers": {"location": "/login"}}),
    ("/user/new", {"status": 404, "body": {"detail": "Not Found"}}),
    ("/key/generate", {"status": 503, "body": {"error": {"type": "no_db_connection"}}}),
    ("/key/generate", {"cut_after": 0}),
    # LiteLLM has made it, and nobody heard.
    ("/key/generate", {"cut_after": 1}),
]


@pytest.mark.parametrize(("path", "fault"), FAULTS)
async def test_a_failure_on_the_way_does_not_stand_in_the_way_of_the_next_try(
    user_id: UUID, litellm: Running, books: LiteLLMBooks, path: str, fault: dict[str, object]
) -> None:
    litellm.fault(f"^{path}$", times=1, **fault)
    with pytest.raises(UpstreamError) as caught:
        await credential_for(caller(user_id))
    assert caught.value.status in {502, 503}
    assert (await only_key()).state == VirtualKey.State.CREATING

    credential = await credential_for(caller(user_id))

    (key,) = books.keys_of(user_id)
    value = credential.removeprefix("Bearer ")
    assert key["token"] == hashlib.sha256(value.encode()).hexdigest()
    assert (await only_key()).state == VirtualKey.State.ACTIVE


async def test_is_unreachable_when_litellm_is(user_id: UUID, settings: Settings) -> None:
    settings.LITELLM_BASE_URL = "http://127.0.0.1:9"
    with pytest.raises(UpstreamUnreachable):
        await credential_for(caller(user_id))
    await connections.close()


async def test_says_that_the_gateways_own_key_is_refused(user_id: UUID, settings: Settings) -> None:
    settings.LITELLM_MASTER_KEY = "sk-wrong"
    with pytest.raises(UpstreamCredentialRejected):
        await credential_for(caller(user_id))
    await connections.close()


OURS = "our user's id"
# What the real LiteLLM answers when the key is there already, seen on 1.109.1.
ALIAS_TAKEN = {
    "status": 400,
    "body": {"error": {"type": "bad_request_error", "param": "key_alias", "code": "400"}},
}


async def test_adopts_the_key_that_an_earlier_attempt_has_made(user_id: UUID) -> None:
    credential = await credential_for(caller(user_id))
    await set_state(VirtualKey.State.CREATING)
    cache.clear_all()

    assert await credential_for(caller(user_id)) == credential
    assert (await only_key()).state == VirtualKey.State.ACTIVE


@pytest.mark.parametrize(
    "info",
    [
        {"status": 404, "body": {"error": {"type": "not_found_error", "param": "key"}}},
        {"status": 200, "body": {"info": {"key_alias": "x", "user_id": "somebody else"}}},
        {"status": 200, "body": {"info": {"key_alias": "x", "user_id": OURS, "status": "deleted"}}},
        {"status": 200, "body": {"info": None}},
    ],
)
async def test_does_not_adopt_what_is_not_its_own_living_key(
    user_id: UUID, litellm: Running, info: dict[str, Any]
) -> None:
    litellm.fault("^/key/generate$", **ALIAS_TAKEN)
    answer = orjson.loads(orjson.dumps(info).replace(OURS.encode(), str(user_id).encode()))
    litellm.fault("^/key/info$", **answer)
    with pytest.raises(UpstreamError):
        await credential_for(caller(user_id))
    assert (await only_key()).state == VirtualKey.State.CREATING


async def test_refuses_a_blocked_key_itself(user_id: UUID) -> None:
    await credential_for(caller(user_id))
    await set_state(VirtualKey.State.BLOCKED)
    await database_sync_to_async(cache.invalidate)(grants.INVALIDATION_SUBJECT, str(user_id))

    with pytest.raises(AccountSuspended):
        await credential_for(caller(user_id))


async def test_a_change_while_the_key_is_being_worked_out_is_not_missed(
    user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await credential_for(caller(user_id))
    cache.clear_all()
    read = asyncio.Event()
    changed = asyncio.Event()
    of_user = grants._of_user

    async def slowly(user_id: UUID) -> Standing:
        found: Standing = await of_user(user_id)
        read.set()
        await changed.wait()
        return found

    monkeypatch.setattr(grants, "_of_user", slowly)
    early = asyncio.ensure_future(credential_for(caller(user_id)))
    await read.wait()
    await set_state(VirtualKey.State.BLOCKED)
    cache.invalidate(grants.INVALIDATION_SUBJECT, str(user_id))
    late = asyncio.ensure_future(credential_for(caller(user_id)))
    changed.set()

    assert (await early).startswith("Bearer ")
    with pytest.raises(AccountSuspended):
        await late
    with pytest.raises(AccountSuspended):
        await credential_for(caller(user_id))


async def test_stays_blocked_when_staff_block_it_while_it_is_made(
    user_id: UUID, litellm: Running, books: LiteLLMBooks
) -> None:
    litellm.fault("^/key/generate$", delay=0.05)
    making = asyncio.ensure_future(credential_for(caller(user_id)))
    while not litellm.requests("^/key/generate$"):
        await asyncio.sleep(0.005)
    await set_state(VirtualKey.State.BLOCKED)

    with pytest.raises(AccountSuspended):
        await making
    assert (await only_key()).state == VirtualKey.State.BLOCKED
    (key,) = books.keys_of(user_id)
    assert key["blocked"] is True


async def test_a_lost_encryption_key_is_an_error_and_overwrites_nothing(
    user_id: UUID, settings: Settings
) -> None:
    await credential_for(caller(user_id))
    encrypted = (await only_key()).encrypted_value
    cache.clear_all()
    settings.ENCRYPTION_KEYS = ("33" * 32,)

    with pytest.raises(SecretUnreadable):
        await credential_for(caller(user_id))
    assert (await only_key()).encrypted_value == encrypted
