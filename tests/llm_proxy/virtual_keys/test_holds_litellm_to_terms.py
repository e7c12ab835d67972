"""What users may use and spend is in force from their very next call."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from pytest_django import Settings

from accounts.models import Plan, User, UserPlan
from accounts.plans import services as plans
from gateway_core import cache
from gateway_core.errors import TokenRejected, UpstreamError, UpstreamUnreachable
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.client.users import update_user
from llm_proxy.models import VirtualKey
from llm_proxy.virtual_keys import grants, making
from llm_proxy.virtual_keys.grants import grant_for
from llm_proxy.virtual_keys.services import remake_virtual_key
from llm_proxy.virtual_keys.standing import Standing
from tests.conftest import Running
from tests.llm_proxy.conftest import LiteLLMBooks
from tests.llm_proxy.virtual_keys.callers import caller, credential_for


@database_sync_to_async
def change_plan(**values: object) -> None:
    plan = Plan.objects.get()
    for name, value in values.items():
        setattr(plan, name, value)
    plans.save_plan(plan=plan, by=None)


@database_sync_to_async
def change_user(user_id: UUID, **values: object) -> None:
    plans.save_user_plan(user_plan=UserPlan(user_id=user_id, **values), by=None)


@database_sync_to_async
def new_api_key(user_id: UUID, **fields: object) -> UUID:
    values = {"name": "ci", "hint": "gwk_ab", "secret_hash": uuid4().hex * 2, "scopes": ["llm"]}
    return ApiKey.objects.create(user_id=user_id, **{**values, **fields}).pk


@database_sync_to_async
def rows() -> list[VirtualKey]:
    return list(VirtualKey.objects.order_by("created_at"))


def user_in(books: LiteLLMBooks, user_id: UUID) -> dict[str, object]:
    return dict(books.get("/v2/user/info", user_id=user_id))


async def test_makes_user_and_key_on_the_terms_of_the_plan(
    user_id: UUID, books: LiteLLMBooks
) -> None:
    await change_plan(budget=Decimal("0.5"), budget_period="1d", allowed_models=["mock-gpt"])
    await change_user(user_id, requests_per_minute=6, max_parallel_calls=2)
    await credential_for(caller(user_id))
    user = user_in(books, user_id)
    assert (user["max_budget"], user["budget_duration"], user["rpm_limit"]) == (0.5, "1d", 6)
    (key,) = books.keys_of(user_id)
    assert (key["models"], key["max_parallel_requests"]) == (["mock-gpt"], 2)
    assert key["metadata"] == user["metadata"] != {}


@pytest.mark.parametrize("whose", ["plan", "user"])
async def test_tells_litellm_of_a_change_before_the_next_call(
    user_id: UUID, books: LiteLLMBooks, litellm: Running, whose: str
) -> None:
    credential = await credential_for(caller(user_id))
    if whose == "plan":
        await change_plan(budget=Decimal(3))
    else:
        await change_user(user_id, budget=Decimal(3))
    assert await credential_for(caller(user_id)) == credential
    assert user_in(books, user_id)["max_budget"] == 3
    told = len(litellm.requests("/update$"))
    cache.clear_all()
    await credential_for(caller(user_id))
    assert len(litellm.requests("/update$")) == told


async def test_takes_limits_away_again(user_id: UUID, books: LiteLLMBooks) -> None:
    await change_plan(requests_per_minute=5, tokens_per_minute=5, allowed_models=["mock-gpt"])
    await credential_for(caller(user_id))
    await change_plan(
        budget=None, requests_per_minute=None, tokens_per_minute=None, allowed_models=[]
    )
    await credential_for(caller(user_id))
    user = user_in(books, user_id)
    assert [user[name] for name in ("max_budget", "rpm_limit", "tpm_limit")] == [None] * 3
    assert books.keys_of(user_id)[0]["models"] == []


async def test_tells_litellm_at_once_of_one_user_who_is_idle(
    user_id: UUID, books: LiteLLMBooks
) -> None:
    await credential_for(caller(user_id))
    await change_user(user_id, budget=Decimal(3))
    assert user_in(books, user_id)["max_budget"] == 3


async def test_tells_litellm_nothing_of_a_user_whom_it_does_not_know(
    user_id: UUID, litellm: Running
) -> None:
    await change_user(user_id, budget=Decimal(3))
    assert litellm.requests() == []


async def test_a_change_holds_when_litellm_was_away_at_first(
    user_id: UUID, books: LiteLLMBooks, settings: Settings
) -> None:
    await credential_for(caller(user_id))
    usual, settings.LITELLM_BASE_URL = settings.LITELLM_BASE_URL, "http://127.0.0.1:9"
    await change_user(user_id, budget=Decimal(3))
    with pytest.raises(UpstreamUnreachable):
        await credential_for(caller(user_id))
    settings.LITELLM_BASE_URL = usual
    await credential_for(caller(user_id))
    assert user_in(books, user_id)["max_budget"] == 3


async def test_a_key_that_is_adopted_is_held_to_the_latest_terms(
    user_id: UUID, books: LiteLLMBooks
) -> None:
    """It was made before a crash, and the plan has changed since."""
    await credential_for(caller(user_id))
    creating = {"state": VirtualKey.State.CREATING, "applied_limits": ""}
    await database_sync_to_async(VirtualKey.objects.update)(**creating)
    await change_plan(allowed_models=["mock-gpt"], budget=Decimal(3))
    await credential_for(caller(user_id))
    assert books.keys_of(user_id)[0]["models"] == ["mock-gpt"]
    assert user_in(books, user_id)["max_budget"] == 3


async def test_an_api_key_has_a_virtual_key_of_its_own(user_id: UUID, books: LiteLLMBooks) -> None:
    api_key_id = await new_api_key(
        user_id, budget=Decimal("0.5"), budget_period="1d", allowed_models=["mock-gpt", "emb"]
    )
    managed = await grant_for(caller(user_id))
    own = await grant_for(caller(user_id, api_key_id))
    assert own.authorization != managed.authorization
    keys = {key["token"]: key for key in books.keys_of(user_id)}
    first, second = await rows()
    assert keys[first.token_hash]["max_budget"] is None
    row = keys[second.token_hash]
    assert (row["max_budget"], row["budget_duration"]) == (0.5, "1d")
    assert row["models"] == ["mock-gpt", "emb"]
    assert (own.virtual_key_id, second.kind) == (second.pk, VirtualKey.Kind.API_KEY)


async def test_an_api_key_gets_one_virtual_key_for_many_first_requests(
    user_id: UUID, books: LiteLLMBooks
) -> None:
    api_key_id = await new_api_key(user_id)

    async def anew(number: int) -> str:
        if number % 2:
            cache.clear_all()  # as if in another process
        return await credential_for(caller(user_id, api_key_id))

    found = await asyncio.gather(*(anew(number) for number in range(12)))
    assert len(set(found)) == 1
    assert len(books.keys_of(user_id)) == 1


async def test_a_changed_api_key_is_held_to_its_new_terms(
    user_id: UUID, books: LiteLLMBooks
) -> None:
    api_key_id = await new_api_key(user_id)
    await credential_for(caller(user_id, api_key_id))
    await database_sync_to_async(ApiKey.objects.update)(budget=Decimal(2))
    await database_sync_to_async(cache.invalidate)("principal", str(user_id))
    await credential_for(caller(user_id, api_key_id))
    assert books.keys_of(user_id)[0]["max_budget"] == 2


async def test_a_revoked_api_key_gets_no_virtual_key(user_id: UUID, litellm: Running) -> None:
    api_key_id = await new_api_key(user_id, revoked_at="2026-01-01T00:00Z")
    with pytest.raises(TokenRejected):
        await credential_for(caller(user_id, api_key_id))
    assert await rows() == []
    assert litellm.requests() == []


async def test_a_grant_allows_what_plan_and_api_key_allow(user_id: UUID) -> None:
    await change_plan(allowed_models=["openai/*", "emb"])
    api_key_id = await new_api_key(user_id, allowed_models=["*-mini", "emb"])
    managed = await grant_for(caller(user_id))
    own = await grant_for(caller(user_id, api_key_id))
    models = ("openai/gpt-4o", "openai/gpt-4o-mini", "emb", "x-mini")
    assert [managed.allow_model(name) for name in models] == [True, True, True, False]
    assert [own.allow_model(name) for name in models] == [False, True, True, False]


async def test_a_change_concerns_nobody_else(user_id: UUID, litellm: Running) -> None:
    other = await database_sync_to_async(User.objects.create)(pk=uuid4())
    await credential_for(caller(other.pk))
    known = grants._grants.get((other.pk, None))
    await credential_for(caller(user_id))
    await change_user(user_id, budget=Decimal(3))
    assert grants._grants.get((other.pk, None)) is known
    assert litellm.requests("/user/update$") != []


async def test_of_two_orders_that_overtake_each_other_the_latest_terms_win(
    user_id: UUID, books: LiteLLMBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process, with older terms, tells LiteLLM last; it finds out and tells it again."""
    await credential_for(caller(user_id))
    await change_plan(budget=Decimal(3))
    old: Standing | None = await making._read((await rows())[0].pk)
    assert old is not None
    may_go, is_held = asyncio.Event(), asyncio.Event()

    async def held(user_id: UUID, *, terms: dict[str, object]) -> None:
        if terms["max_budget"] == 3:
            is_held.set()
            await may_go.wait()
        await update_user(user_id, terms=terms)

    monkeypatch.setattr(making, "update_user", held)
    slow = asyncio.ensure_future(making.establish(old))
    await is_held.wait()
    await change_plan(budget=Decimal(5))
    await credential_for(caller(user_id))
    assert user_in(books, user_id)["max_budget"] == 5
    may_go.set()
    standing = await slow
    assert user_in(books, user_id)["max_budget"] == 5
    assert (await rows())[0].applied_limits == standing.terms.fingerprint


async def test_a_key_retired_while_it_is_made_does_not_stay_in_litellm(
    user_id: UUID, litellm: Running, books: LiteLLMBooks
) -> None:
    litellm.fault("^/key/generate$", delay=0.05)
    making_it = asyncio.ensure_future(credential_for(caller(user_id)))
    while not litellm.requests("^/key/generate$"):
        await asyncio.sleep(0.005)
    await database_sync_to_async(VirtualKey.objects.all().delete)()
    with pytest.raises(TokenRejected):
        await making_it
    assert books.keys_of(user_id) == []


async def test_gives_up_when_the_row_changes_again_and_again(
    user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await credential_for(caller(user_id))
    monkeypatch.setattr(making, "_noted", database_sync_to_async(lambda _standing: False))
    await change_plan(budget=Decimal(5))
    with pytest.raises(UpstreamError):
        await credential_for(caller(user_id))


async def test_of_many_who_find_a_key_lost_the_first_has_it_made_again(user_id: UUID) -> None:
    lost = await grant_for(caller(user_id))
    cache.clear_all()
    latest = await grant_for(caller(user_id))
    await remake_virtual_key(caller(user_id), lost)
    assert (await rows())[0].state == VirtualKey.State.ACTIVE
    await remake_virtual_key(caller(user_id), latest)
    assert (await rows())[0].state == VirtualKey.State.CREATING
