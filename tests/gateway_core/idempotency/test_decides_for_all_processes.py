"""However many want a key at once, in however many processes, one gets it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from gateway_core.errors import IdempotencyInProgress, IdempotencyOutcomeUnknown
from gateway_core.idempotency import services
from gateway_core.idempotency.keys import KeyedRequest
from gateway_core.idempotency.models import IdempotencyRecord

pytestmark = pytest.mark.django_db(transaction=True)
PROJECT = Path(__file__).resolve().parents[3]
PROCESSES = 3
THREADS = 8


class Contender:
    """A process that wants the key."""

    def __init__(self, user: User, threads: int, *options: str) -> None:
        name = connection.settings_dict["NAME"]
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.gateway_core.idempotency.programs.contender"),
                *(name, str(user.pk), str(threads), *options),
            ],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def begin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None

    def lines(self) -> list[str]:
        return self.process.communicate(timeout=30)[0].split()


@pytest.fixture
def user() -> User:
    return User.objects.create(email="alice@example.com")


@pytest.fixture
def request_of(user: User) -> KeyedRequest:
    return KeyedRequest(user_id=user.pk, route="POST /things", key="k", fingerprint="f")


@pytest.fixture
def contenders(user: User) -> Iterator[list[Contender]]:
    started = [Contender(user, THREADS) for _ in range(PROCESSES)]
    assert [one.line() for one in started] == ["ready"] * PROCESSES
    yield started
    for one in started:
        one.process.wait(10)


def test_gives_the_key_to_one_of_many_processes(contenders: list[Contender]) -> None:
    for one in contenders:
        one.begin()

    said = Counter(line for one in contenders for line in one.lines())

    assert said == {"mine": 1, "caller_idempotency_in_progress": PROCESSES * THREADS - 1}


def test_gives_an_expired_key_to_one_of_many(request_of: KeyedRequest) -> None:
    services.reserve(request_of, lease_seconds=60)
    IdempotencyRecord.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    together = threading.Barrier(THREADS)

    def attempt(_: int) -> str:
        together.wait(10)
        try:
            return str(services.reserve(request_of, lease_seconds=60))
        except IdempotencyInProgress:
            return ""
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        got = [found for found in pool.map(attempt, range(THREADS)) if found]

    assert got == [str(IdempotencyRecord.objects.get().pk)]


def test_does_not_give_the_key_of_a_killed_process_to_another(
    user: User, request_of: KeyedRequest
) -> None:
    victim = Contender(user, 1, "dies")
    assert victim.line() == "ready"
    victim.begin()
    assert victim.line() == "mine"
    victim.process.kill()
    victim.lines()

    with pytest.raises(IdempotencyInProgress):
        services.reserve(request_of, lease_seconds=60)
    IdempotencyRecord.objects.update(lease_until=timezone.now())
    with pytest.raises(IdempotencyOutcomeUnknown):
        services.reserve(request_of, lease_seconds=60)
