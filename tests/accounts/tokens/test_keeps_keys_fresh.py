from __future__ import annotations

import pytest

from accounts.tokens.store import (
    BACKOFF_MAX_SECONDS,
    FLIGHT_LIMIT_SECONDS,
    MISSING_LIMIT,
    MISSING_TTL_SECONDS,
    UNKNOWN_KID_PAUSE_SECONDS,
    JwksStore,
)
from gateway_core.errors import KeysUnavailable
from tests.accounts.key_server import KeyServer, wait_for_fetch
from tests.accounts.mint import Signer, new_signer
from tests.timing import Clock

SOFT, HARD = 300.0, 1200.0


@pytest.fixture
def warm(store: JwksStore, signer: Signer) -> JwksStore:
    assert store.find(signer.kid) == signer.key
    return store


def test_fetches_nothing_before_it_is_asked(store: JwksStore, key_server: KeyServer) -> None:
    assert store is not None
    assert key_server.requests == []


async def test_serves_a_fresh_set_from_memory(
    warm: JwksStore, signer: Signer, key_server: KeyServer, clock: Clock
) -> None:
    clock.now += SOFT - 1
    assert warm.find(signer.kid) is await warm.afind(signer.kid)
    assert key_server.fetches == 1


async def test_serves_a_stale_set_at_once_and_renews_it_behind(
    warm: JwksStore, signer: Signer, key_server: KeyServer, clock: Clock
) -> None:
    new = new_signer()
    key_server.publish(signer, new)
    key_server.gate.clear()
    clock.now += SOFT
    assert await warm.afind(signer.kid) == signer.key
    key_server.gate.set()
    wait_for_fetch(warm)
    assert (warm.find(new.kid), key_server.fetches) == (new.key, 2)


def test_renews_a_stale_set_also_when_only_remembered_keys_are_asked_about(
    warm: JwksStore, signer: Signer, key_server: KeyServer, clock: Clock
) -> None:
    key = warm.find(signer.kid)
    assert key is not None
    key_server.publish(new_signer())
    clock.now += SOFT
    assert warm.trusts(key)
    wait_for_fetch(warm)
    assert not warm.trusts(key)
    assert key_server.fetches == 2


def test_trusts_the_same_key_after_a_renewal(
    warm: JwksStore, signer: Signer, clock: Clock, key_server: KeyServer
) -> None:
    key = warm.find(signer.kid)
    assert key is not None
    key_server.publish(new_signer(), signer)
    clock.now += SOFT
    warm.find(signer.kid)
    wait_for_fetch(warm)
    assert warm.trusts(key)


def test_distrusts_a_kid_that_came_back_with_another_key(
    warm: JwksStore, signer: Signer, clock: Clock, key_server: KeyServer
) -> None:
    key = warm.find(signer.kid)
    assert key is not None
    key_server.publish(new_signer(kid=signer.kid))
    clock.now += SOFT
    warm.find(signer.kid)
    wait_for_fetch(warm)
    assert not warm.trusts(key)
    assert warm.find(signer.kid) not in (None, key)


def test_finds_a_key_that_was_published_after_the_last_fetch(
    warm: JwksStore, signer: Signer, key_server: KeyServer, clock: Clock
) -> None:
    new = new_signer()
    key_server.publish(signer, new)
    clock.now += UNKNOWN_KID_PAUSE_SECONDS
    assert warm.find(new.kid) == new.key
    assert warm.find(signer.kid) == signer.key


def test_loses_a_revoked_key_with_the_next_fetch(
    warm: JwksStore, signer: Signer, key_server: KeyServer, clock: Clock
) -> None:
    key_server.publish(new_signer())
    clock.now += UNKNOWN_KID_PAUSE_SECONDS
    assert warm.find("unknown") is None
    assert warm.find(signer.kid) is None


def test_loses_every_key_when_the_project_publishes_none(
    warm: JwksStore, signer: Signer, key_server: KeyServer, clock: Clock
) -> None:
    key_server.publish()
    clock.now += HARD
    assert warm.find(signer.kid) is None


def test_fetches_nothing_for_a_flood_of_unknown_kids(
    warm: JwksStore, key_server: KeyServer
) -> None:
    assert [warm.find(f"made-up-{number}") for number in range(200)] == [None] * 200
    assert key_server.fetches == 1


def test_fetches_once_in_a_while_for_a_flood_that_goes_on(
    warm: JwksStore, key_server: KeyServer, clock: Clock
) -> None:
    for number in range(200):
        clock.now += 0.5
        assert warm.find(f"made-up-{number}") is None
    assert key_server.fetches == 1 + 100 / UNKNOWN_KID_PAUSE_SECONDS


def test_asks_again_about_an_unknown_kid_only_after_a_while(
    warm: JwksStore, key_server: KeyServer, clock: Clock
) -> None:
    late = new_signer()
    clock.now += UNKNOWN_KID_PAUSE_SECONDS
    assert warm.find(late.kid) is None
    key_server.publish(late)
    clock.now += MISSING_TTL_SECONDS - 1
    assert warm.find(late.kid) is None
    assert key_server.fetches == 2
    clock.now += 1
    assert warm.find(late.kid) == late.key
    assert key_server.fetches == 3


def test_remembers_only_so_many_unknown_kids(warm: JwksStore) -> None:
    for number in range(MISSING_LIMIT + 50):
        warm.find(f"made-up-{number}")
    assert len(warm._missing) == MISSING_LIMIT


def test_trusts_no_set_past_the_hard_limit(
    warm: JwksStore, signer: Signer, key_server: KeyServer, clock: Clock
) -> None:
    key_server.status = 503
    clock.now += HARD - 1
    assert warm.find(signer.kid) == signer.key
    wait_for_fetch(warm)
    clock.now += 1
    with pytest.raises(KeysUnavailable):
        warm.find(signer.kid)


def test_comes_back_after_an_outage(
    warm: JwksStore, signer: Signer, key_server: KeyServer, clock: Clock
) -> None:
    key_server.status = 500
    clock.now += HARD
    with pytest.raises(KeysUnavailable):
        warm.find(signer.kid)
    key_server.status = 200
    clock.now += BACKOFF_MAX_SECONDS
    assert warm.find(signer.kid) == signer.key


async def test_asks_a_failing_server_less_and_less_often(
    store: JwksStore, key_server: KeyServer, clock: Clock
) -> None:
    key_server.status = 503
    pauses = []
    for _ in range(8):
        before = key_server.fetches
        with pytest.raises(KeysUnavailable):
            store.find("any")
        assert key_server.fetches == before + 1
        with pytest.raises(KeysUnavailable) as refusal:
            store.find("any")
        assert key_server.fetches == before + 1
        pause = refusal.value.retry_after
        assert pause is not None
        pauses.append(pause)
        clock.now += pause
    assert [1 <= pause <= BACKOFF_MAX_SECONDS for pause in pauses] == [True] * 8
    assert pauses[-1] >= BACKOFF_MAX_SECONDS * 0.7
    state = await store.state()
    assert (state.failures, state.is_trusted, state.age_seconds) == (9, False, None)


def test_can_not_say_that_a_kid_is_unknown_while_the_server_fails(
    warm: JwksStore, signer: Signer, key_server: KeyServer, clock: Clock
) -> None:
    key_server.status = 503
    clock.now += UNKNOWN_KID_PAUSE_SECONDS
    with pytest.raises(KeysUnavailable):
        warm.find(new_signer().kid)
    assert warm.find(signer.kid) == signer.key


def test_gives_up_a_fetch_that_never_ends(
    warm: JwksStore, signer: Signer, key_server: KeyServer, clock: Clock
) -> None:
    key_server.gate.clear()
    clock.now += SOFT
    warm.find(signer.kid)
    stuck = warm._flight
    clock.now += FLIGHT_LIMIT_SECONDS
    warm.find(signer.kid)
    assert warm._flight is not stuck
    key_server.gate.set()
    wait_for_fetch(warm)
    assert warm._loaded_at == clock()


def test_ignores_the_answer_of_a_fetch_that_was_given_up(
    warm: JwksStore, signer: Signer, key_server: KeyServer, clock: Clock
) -> None:
    key_server.gate.clear()
    clock.now += SOFT
    warm.find(signer.kid)
    given_up = warm._flight
    assert given_up is not None
    clock.now += FLIGHT_LIMIT_SECONDS
    warm.find(signer.kid)
    warm._land(given_up, {}, None)
    assert warm.find(signer.kid) == signer.key
    key_server.gate.set()
    wait_for_fetch(warm)


async def test_shows_its_state(warm: JwksStore, clock: Clock) -> None:
    clock.now += 7
    state = await warm.state()
    assert (state.keys, state.age_seconds, state.is_trusted) == (1, 7, True)
    assert (state.fetches, state.failures, state.last_error) == (1, 0, "")
