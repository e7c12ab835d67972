from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import registry
from pytest_django import Settings

from accounts.checks import check_token_settings


@pytest.fixture
def good(settings: Settings) -> Settings:
    settings.SUPABASE_JWKS_URL = "https://project.supabase.co/auth/v1/.well-known/jwks.json"
    settings.SUPABASE_JWT_SECRETS = ()
    settings.SUPABASE_ISSUERS = ("https://project.supabase.co/auth/v1",)
    return settings


def test_finds_nothing_in_good_settings(good: Settings) -> None:
    del good
    assert check_token_settings() == []


def test_is_run_with_all_other_checks() -> None:
    assert check_token_settings in registry.registry.get_checks()


def test_finds_nothing_in_a_legacy_project(good: Settings) -> None:
    good.SUPABASE_JWKS_URL = ""
    good.SUPABASE_JWT_SECRETS = ("x" * 32,)
    good.SUPABASE_ISSUERS = ("none",)
    assert check_token_settings() == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SUPABASE_JWKS_URL", "", "accounts.E001"),
        ("SUPABASE_JWT_SECRETS", ("x" * 32, "x" * 31), "accounts.E002"),
        ("SUPABASE_JWKS_URL", "http://project.supabase.co/jwks.json", "accounts.E003"),
        ("SUPABASE_ALGORITHMS", ("ES256", "none"), "accounts.E004"),
        ("SUPABASE_ALGORITHMS", ("ES256", "HS256"), "accounts.E005"),
        ("SUPABASE_AUDIENCE", "", "accounts.E006"),
        ("SUPABASE_ROLES", (), "accounts.E006"),
        ("SUPABASE_ROLES", ("authenticated", "service_role"), "accounts.E007"),
        ("SUPABASE_ISSUERS", ("none", "https://project.supabase.co"), "accounts.E008"),
        ("JWKS_SOFT_TTL_SECONDS", 1200.0, "accounts.E009"),
        ("JWKS_SOFT_TTL_SECONDS", 0, "accounts.E009"),
        ("TOKEN_LEEWAY_SECONDS", 1e9, "accounts.E010"),
    ],
)
def test_names_what_can_not_work(name: str, value: Any, expected: str, good: Settings) -> None:
    setattr(good, name, value)
    (error,) = check_token_settings()
    assert error.id == expected
    assert error.hint
    assert "x" * 31 not in f"{error.msg} {error.hint}"
