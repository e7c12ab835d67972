from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from letta_proxy.checks import check_letta_settings


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"LETTA_BASE_URL": ""}, []),
        ({"LETTA_BASE_URL": "letta:8283"}, ["letta_proxy.E001"]),
        ({"LETTA_API_KEY": ""}, ["letta_proxy.E002"]),
        ({"LETTA_API_KEY": "", "LETTA_BASE_URL": ""}, []),
        ({"LETTA_MODE": "cloud"}, []),
        ({"LETTA_MODE": "Cloud"}, ["letta_proxy.E004"]),
        ({"LETTA_MAX_STEPS": 0}, ["letta_proxy.E003"]),
        ({"IS_PRODUCTION": True}, []),
        ({"IS_PRODUCTION": True, "GATEWAY_INTERNAL_URL": ""}, ["letta_proxy.E005"]),
        ({"IS_PRODUCTION": True, "GATEWAY_INTERNAL_URL": "", "LETTA_MODE": "cloud"}, []),
        ({"GATEWAY_INTERNAL_URL": ""}, []),
        ({"LETTA_ALLOWED_TOOLS": ("send_message", "run_code")}, ["letta_proxy.W001"]),
    ],
)
def test_finds_settings_that_can_not_work(
    settings: Settings, changes: dict[str, Any], expected: list[str]
) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)

    found = check_letta_settings()

    assert [message.id for message in found] == expected
    assert all(message.hint for message in found)


def test_lets_users_have_nothing_dangerous_by_default(settings: Settings) -> None:
    assert "conversation_search" in settings.LETTA_ALLOWED_TOOLS
    assert not [name for name in settings.LETTA_ALLOWED_TOOLS if name.startswith("run_code")]
    assert "fetch_webpage" not in settings.LETTA_ALLOWED_TOOLS
