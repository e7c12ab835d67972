from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from accounts.tokens.store import JwksStore
from accounts.tokens.verify import TokenVerifier
from gateway_core.errors import KeysUnavailable
from tests.accounts.key_server import KeyServer
from tests.accounts.mint import Signer


async def test_makes_one_fetch_for_many_coroutines_and_blocks_none_of_them(
    verifier: TokenVerifier, signer: Signer, key_server: KeyServer
) -> None:
    key_server.gate.clear()
    waiting = asyncio.gather(*(verifier.averify(signer.token()) for _ in range(50)))
    longest = 0.0
    for _ in range(40):
        before = time.perf_counter()
        await asyncio.sleep(0.005)
        longest = max(longest, time.perf_counter() - before - 0.005)
    assert not waiting.done()
    key_server.gate.set()
    assert len(await waiting) == 50
    assert key_server.fetches == 1
    assert longest < 1  # blocked, it would be until the gate opens


async def test_makes_one_fetch_for_many_threads_and_coroutines(
    verifier: TokenVerifier, signer: Signer, key_server: KeyServer
) -> None:
    key_server.gate.clear()
    barrier = threading.Barrier(41)

    def verify(token: bytes) -> object:
        barrier.wait(10)
        return verifier.verify(token)

    with ThreadPoolExecutor(40) as pool:
        results = [pool.submit(verify, signer.token()) for _ in range(40)]
        await asyncio.to_thread(barrier.wait, 10)
        coroutine = asyncio.ensure_future(verifier.averify(signer.token()))
        await asyncio.sleep(0.02)
        key_server.gate.set()
        assert await coroutine
        assert len({result.result(10) for result in results}) == 40
    assert key_server.fetches == 1


async def test_keeps_a_fetch_alive_when_the_first_caller_leaves(
    store: JwksStore, signer: Signer, key_server: KeyServer
) -> None:
    key_server.gate.clear()
    first = asyncio.ensure_future(store.afind(signer.kid))
    second = asyncio.ensure_future(store.afind(signer.kid))
    await asyncio.sleep(0.01)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    key_server.gate.set()
    assert await second == signer.key
    assert key_server.fetches == 1


async def test_refuses_all_callers_of_an_outage_after_one_fetch(
    verifier: TokenVerifier, signer: Signer, key_server: KeyServer
) -> None:
    key_server.status = 503
    started = time.perf_counter()
    results = await asyncio.gather(
        *(verifier.averify(signer.token()) for _ in range(50)), return_exceptions=True
    )
    assert {type(result) for result in results} == {KeysUnavailable}
    assert time.perf_counter() - started < 1
    assert key_server.fetches == 1


def test_works_in_a_child_forked_while_a_fetch_was_under_way(
    store: JwksStore, signer: Signer, key_server: KeyServer
) -> None:
    key_server.gate.clear()
    flight = store._flight_for(signer.kid)
    assert flight is not None
    outcome = multiprocessing.get_context("spawn").SimpleQueue()
    with store._lock:
        child = os.fork()
    if child == 0:
        try:
            outcome.put(store.find(signer.kid) == signer.key)
        finally:
            os._exit(0)
    key_server.gate.set()
    assert flight.result(10) is None
    os.waitpid(child, 0)
    assert outcome.get()
    assert key_server.fetches == 2
