from __future__ import annotations

from typing import Any

import pytest

from accounts.checks import check_session_settings
from gateway_project.sandbox.supabase import PUBLISHABLE_KEY, SECRET_KEY


def ids() -> list[str]:
    messages = check_session_settings()
    assert all(message.hint for message in messages)
    assert not any("sandbox" in str(message) for message in messages)
    return [str(message.id) for message in messages]


def test_finds_nothing_wrong_with_the_sandbox() -> None:
    assert ids() == []


@pytest.mark.parametrize("policy", ["off", "sensitive", "always"])
def test_knows_three_policies(policy: str, settings: Any) -> None:
    settings.SESSION_POLICY = policy
    assert ids() == []


@pytest.mark.parametrize("policy", ["", "Always", "never"])
def test_refuses_other_policies(policy: str, settings: Any) -> None:
    settings.SESSION_POLICY = policy
    assert ids() == ["accounts.E011"]


def test_wants_a_project_to_ask(settings: Any) -> None:
    settings.SUPABASE_URL = ""
    assert ids() == ["accounts.E012"]
    settings.SESSION_POLICY = "off"
    assert ids() == []


def test_wants_a_secret_key_to_ban_with(settings: Any) -> None:
    settings.SUPABASE_BAN_SUSPENDED = True
    assert ids() == []
    settings.SUPABASE_SERVICE_KEY = ""
    assert ids() == ["accounts.E013"]


def test_warns_when_there_is_no_key_to_ask_with(settings: Any) -> None:
    settings.SUPABASE_KEY = settings.SUPABASE_SERVICE_KEY = ""
    assert ids() == ["accounts.W016"]
    settings.SESSION_POLICY = "off"
    assert ids() == []


def test_tells_keys_that_were_mixed_up(settings: Any) -> None:
    settings.SUPABASE_KEY, settings.SUPABASE_SERVICE_KEY = SECRET_KEY, PUBLISHABLE_KEY
    assert ids() == ["accounts.E014", "accounts.E015"]
