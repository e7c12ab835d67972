"""One organization in Letta for each user, whatever happens while it is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.utils import timezone

from accounts.models import User
from gateway_core.errors import GatewayOverloaded, UpstreamError, UpstreamFailed
from letta_proxy import client, provisioning
from letta_proxy.models import LettaAccount
from tests.conftest import Running

ORGANIZATIONS = "^/v1/admin/orgs/$"


@pytest.fixture
async def user_id(transactional_db: None, letta: Running) -> AsyncIterator[UUID]:
    del transactional_db, letta
    user = await User.objects.acreate(pk=uuid4())
    yield user.pk
    provisioning.forget_account(user.pk)
    await client.upstream().close()
    # The ORM's asynchronous calls of this test had a thread of their own, and it a connection.
    await sync_to_async(connections.close_all)()


def created(letta: Running) -> int:
    requests = letta.requests(ORGANIZATIONS)
    return sum(r["method"] == "POST" and r["status"] == 200 for r in requests)


def organizations(letta: Running, user_id: UUID) -> list[str]:
    headers = {"authorization": f"Bearer {letta.credentials['LETTA_API_KEY']}"}
    found = letta.client.get("/v1/admin/orgs/", params={"limit": 500}, headers=headers).json()
    return [one["id"] for one in found if one["name"] == f"gw:{user_id}"]


async def row(user_id: UUID) -> LettaAccount:
    return await LettaAccount.objects.aget(pk=user_id)


async def test_makes_organization_user_and_tools_on_first_use(
    user_id: UUID, letta: Running
) -> None:
    letta_user_id = (await provisioning.account_for(user_id)).letta_user_id

    account = await row(user_id)
    assert account.state == LettaAccount.State.ACTIVE
    assert organizations(letta, user_id) == [account.organization_id]
    assert account.letta_user_id == letta_user_id
    (tools,) = letta.requests("^/v1/tools/add-base-tools$")
    assert tools["headers"]["user_id"] == letta_user_id


async def test_makes_one_when_fifty_ask_at_once(user_id: UUID, letta: Running) -> None:
    letta.fault(ORGANIZATIONS, delay=0.05)

    found = await asyncio.gather(*(provisioning.account_for(user_id) for _ in range(50)))

    assert len(set(found)) == 1
    assert created(letta) == 1


async def test_makes_one_when_fifty_processes_ask_at_once(user_id: UUID, letta: Running) -> None:
    letta.fault(ORGANIZATIONS, delay=0.05)

    # Past the single flight that only one process shares.
    found = await asyncio.gather(*(provisioning._ensure(user_id) for _ in range(50)))

    assert len(set(found)) == 1
    assert created(letta) == 1


async def test_asks_neither_letta_nor_the_database_again(user_id: UUID, letta: Running) -> None:
    first = await provisioning.letta_user_for(user_id)
    await LettaAccount.objects.all().adelete()
    before = len(letta.requests())

    assert await provisioning.letta_user_for(user_id) == first
    assert len(letta.requests()) == before


@pytest.mark.parametrize(
    "path", [ORGANIZATIONS, "^/v1/admin/users/$", "^/v1/tools/add-base-tools$"]
)
async def test_goes_on_where_a_failed_attempt_stopped(
    user_id: UUID, letta: Running, path: str
) -> None:
    letta.fault(path, method="POST", status=500, times=1)
    with pytest.raises(UpstreamFailed):
        await provisioning.account_for(user_id)
    assert (await row(user_id)).claim is None

    await provisioning.account_for(user_id)

    assert len(organizations(letta, user_id)) == 1
    assert (await row(user_id)).state == LettaAccount.State.ACTIVE


async def test_finds_the_organization_that_an_unheard_answer_left(
    user_id: UUID, letta: Running
) -> None:
    letta.fault(ORGANIZATIONS, method="POST", cut_after=0, times=1)
    with pytest.raises(UpstreamError):
        await provisioning.account_for(user_id)
    (orphan,) = organizations(letta, user_id)

    await provisioning.account_for(user_id)

    assert organizations(letta, user_id) == [orphan]
    assert (await row(user_id)).organization_id == orphan


async def test_takes_over_from_a_process_that_died(user_id: UUID, letta: Running) -> None:
    orphan = await client.create_organization(f"gw:{user_id}")
    long_ago = timezone.now() - timedelta(seconds=provisioning.STALE_SECONDS + 1)
    await LettaAccount.objects.acreate(user_id=user_id, claim=uuid4(), claimed_at=long_ago)

    await provisioning.account_for(user_id)

    assert organizations(letta, user_id) == [orphan]


async def test_waits_for_a_process_that_is_at_it(
    user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provisioning, "_WAIT_SECONDS", 0.05)
    await LettaAccount.objects.acreate(user_id=user_id, claim=uuid4(), claimed_at=timezone.now())

    with pytest.raises(GatewayOverloaded):
        await provisioning.account_for(user_id)


async def test_leaves_no_second_organization_when_it_was_too_slow(
    user_id: UUID, letta: Running
) -> None:
    letta.fault(ORGANIZATIONS, method="POST", delay=0.3)
    slow = asyncio.ensure_future(provisioning._ensure(user_id))
    while not await LettaAccount.objects.filter(pk=user_id).aexists():
        await asyncio.sleep(0)
    await LettaAccount.objects.filter(pk=user_id).aupdate(claim=uuid4())

    with pytest.raises(provisioning.ClaimLost):
        await slow
    assert organizations(letta, user_id) == []


async def test_goes_on_when_the_one_who_asked_first_has_left(user_id: UUID, letta: Running) -> None:
    letta.fault(ORGANIZATIONS, method="POST", delay=0.05)
    first = asyncio.ensure_future(provisioning.account_for(user_id))
    await asyncio.sleep(0.01)
    second = asyncio.ensure_future(provisioning.account_for(user_id))
    await asyncio.sleep(0)
    first.cancel()

    assert (await second).letta_user_id == (await row(user_id)).letta_user_id
    assert created(letta) == 1


async def test_finds_an_organization_behind_many_others(
    user_id: UUID, letta: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_PAGE", 2)
    names = [f"other {number}" for number in range(5)]
    made = {name: await client.create_organization(name) for name in [*names, f"gw:{user_id}"]}

    assert {name: await client.find_organization(name) for name in made} == made
    assert await client.find_organization("nobody") is None
    assert any("after=" in request["query"] for request in letta.requests(ORGANIZATIONS))


async def test_keeps_no_transaction_open_while_letta_works(user_id: UUID, letta: Running) -> None:
    letta.fault(ORGANIZATIONS, method="POST", delay=0.5)
    under_way = asyncio.ensure_future(provisioning.account_for(user_id))
    while not letta.requests(ORGANIZATIONS):
        await asyncio.sleep(0.01)

    locked = sync_to_async(_lock_now, thread_sensitive=False)
    assert await locked(user_id)
    await under_way


def _lock_now(user_id: UUID) -> bool:
    try:
        with transaction.atomic():
            LettaAccount.objects.select_for_update(nowait=True).get(pk=user_id)
    finally:
        connections.close_all()
    return True
