from __future__ import annotations

import base64

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from llm_proxy.checks import check_agent_secrets, check_encryption_keys

GOOD = base64.b64encode(b"\x01" * 32).decode()
OTHER = (b"\x02" * 32).hex()


def faults(settings: Settings, *keys: str) -> list[str | None]:
    settings.ENCRYPTION_KEYS = keys
    return [error.id for error in check_encryption_keys()]


@pytest.mark.parametrize("keys", [(), (GOOD,), (GOOD, OTHER)])
def test_good_keys_pass(settings: Settings, keys: tuple[str, ...]) -> None:
    assert faults(settings, *keys) == []


@pytest.mark.parametrize("key", ["short", "00" * 16, GOOD + "AAAA", "kein Schlüssel"])
def test_an_unusable_key_is_found_by_its_place_and_not_shown(settings: Settings, key: str) -> None:
    settings.ENCRYPTION_KEYS = (GOOD, key)
    (error,) = check_encryption_keys()
    assert error.id == "llm_proxy.E001"
    assert "Key 2 " in error.msg
    assert key not in error.msg


def test_the_same_key_in_two_notations_is_found(settings: Settings) -> None:
    assert faults(settings, GOOD, (b"\x01" * 32).hex()) == ["llm_proxy.E002"]


@pytest.mark.parametrize(
    ("environment", "keys", "expected"),
    [
        ("production", (GOOD, OTHER), []),
        ("production", (), ["llm_proxy.E005"]),
        ("development", (), []),
        ("development", ("short",), ["llm_proxy.E003"]),
        ("development", (GOOD, GOOD), ["llm_proxy.E004"]),
    ],
)
def test_finds_master_keys_of_agent_secrets_that_can_not_work(
    settings: Settings, environment: str, keys: tuple[str, ...], expected: list[str]
) -> None:
    settings.IS_PRODUCTION = environment == "production"
    settings.AGENT_SECRET_MASTER_KEYS = keys

    assert [error.id for error in check_agent_secrets()] == expected


def test_django_runs_the_check(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = ("short",)
    assert "llm_proxy.E001" in [message.id for message in run_checks()]
