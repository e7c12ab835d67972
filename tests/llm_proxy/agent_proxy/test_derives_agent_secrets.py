from __future__ import annotations

import base64
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from llm_proxy.agent_proxy.secrets import Claim, claim_of, secret_of

ALICE = Claim(UUID("0b8f2c1e-8d0a-4a53-9d0a-1f2e3d4c5b6a"), 1)
# Hers under the master key of nothing but aa.
SECRET = "gws_C48sHo0KSlOdCh8uPUxbagAAAAFpvZLr8ciim9S6BOTr8DTy2yxckCKZybdDP-U9BDbUvw"


def test_says_whose_it_is() -> None:
    secret = secret_of(ALICE)

    assert secret.startswith("gws_")
    assert claim_of(secret.encode()) == ALICE
    assert secret_of(ALICE) == secret


def test_stays_the_same_from_one_release_to_the_next(settings: Settings) -> None:
    """Every agent has its secret written down at Letta."""
    settings.AGENT_SECRET_MASTER_KEYS = ("aa" * 32,)

    assert secret_of(ALICE) == SECRET


def test_differs_for_each_user_and_version() -> None:
    others = [Claim(uuid4(), 1), Claim(ALICE.user_id, 2)]

    assert len({secret_of(claim) for claim in (ALICE, *others)}) == 3


@pytest.mark.parametrize("place", range(4, 74))
def test_is_worth_nothing_with_any_character_changed(place: int) -> None:
    secret = secret_of(ALICE).encode()
    changed = b"A" if secret[place : place + 1] != b"A" else b"B"

    assert claim_of(secret[:place] + changed + secret[place + 1 :]) is None


def test_can_not_be_turned_into_another_users() -> None:
    data = base64.urlsafe_b64decode(secret_of(ALICE)[4:] + "==")
    forged = uuid4().bytes + data[16:]

    assert claim_of(b"gws_" + base64.urlsafe_b64encode(forged).rstrip(b"=")) is None


@pytest.mark.parametrize("token", [b"", b"gws_", b"gws_" + b"A" * 70, b"gws_" + b"\xff" * 70])
def test_takes_nothing_for_one_that_is_none(token: bytes) -> None:
    assert claim_of(token) is None


def test_takes_one_of_an_older_master_key_as_long_as_that_is_listed(
    settings: Settings,
) -> None:
    settings.AGENT_SECRET_MASTER_KEYS = ("aa" * 32,)
    old = secret_of(ALICE)

    settings.AGENT_SECRET_MASTER_KEYS = ("bb" * 32, "aa" * 32)
    assert secret_of(ALICE) != old
    assert claim_of(old.encode()) == claim_of(secret_of(ALICE).encode()) == ALICE

    settings.AGENT_SECRET_MASTER_KEYS = ("bb" * 32,)
    assert claim_of(old.encode()) is None


# What replicas have before and after each restart of a change.
@pytest.mark.parametrize(
    ("before", "after"),
    [(("aa",), ("aa", "bb")), (("aa", "bb"), ("bb", "aa")), (("bb", "aa"), ("bb",))],
)
def test_replicas_take_each_others_while_the_master_key_is_changed(
    settings: Settings, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    replicas = [tuple(name * 32 for name in names) for names in (before, after)]
    for one, other in (replicas, reversed(replicas)):
        settings.AGENT_SECRET_MASTER_KEYS = one
        secret = secret_of(ALICE)
        settings.AGENT_SECRET_MASTER_KEYS = other
        assert claim_of(secret.encode()) == ALICE


def test_wants_a_master_key_in_production(settings: Settings) -> None:
    settings.AGENT_SECRET_MASTER_KEYS = ()
    assert claim_of(secret_of(ALICE).encode()) == ALICE

    settings.IS_PRODUCTION = True
    with pytest.raises(ImproperlyConfigured):
        secret_of(ALICE)
