from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway_project.checks import (
    check_memory,
    check_origins,
    check_production,
    check_upstreams,
)

_CHECKOUT = Path(__file__).resolve().parents[2]
_GOOD = {
    "IS_PRODUCTION": True,
    "DEBUG": False,
    "SECRET_KEY": "v8*k2^mZ1q-Lw9xNc4rT7yUb0oPe5sAd6fGh3jKl_QiWzXvBnM",
    "DATABASE_URL": "postgresql://gateway:x@db.internal/gateway",
    "REDIS_URL": "redis://valkey.internal:6379/0",
    "LITELLM_MASTER_KEY": "sk-x",
    "LETTA_API_KEY": "x",
    "ALLOWED_HOSTS": ["gateway.example.com"],
    "ENCRYPTION_KEYS": ("11" * 32,),
    "ENABLE_METRICS": True,
    "SECURE_HSTS_SECONDS": 31_536_000,
    "SECURE_SSL_REDIRECT": True,
    "METRICS_TOKEN": "x",
    "LITELLM_BASE_URL": "http://litellm.internal:4000",
    "LETTA_BASE_URL": "http://10.0.0.7:8283",
    "AMS_BASE_URL": "https://ams.example.com",
}
_ENVIRONMENT = {
    "ENVIRONMENT": "production",
    "DJANGO_SECRET_KEY": str(_GOOD["SECRET_KEY"]),
    "DATABASE_URL": "postgresql://gateway:x@db.internal/gateway",
    "REDIS_URL": "redis://valkey.internal:6379/0",
    "ALLOWED_HOSTS": "gateway.example.com",
    "ENCRYPTION_KEYS": "0123456789abcdef" * 4,
    "AGENT_SECRET_MASTER_KEY": "fedcba9876543210" * 4,
    "AUDIT_SIGNING_KEY": "0011223344556677" * 4,
    "METRICS_TOKEN": "x" * 20,
    "SUPABASE_URL": "https://project.supabase.co",
    "SUPABASE_KEY": "x",
    "SUPABASE_SERVICE_KEY": "x",
    "LITELLM_BASE_URL": "http://litellm.internal:4000",
    "LITELLM_MASTER_KEY": "sk-x",
    "LETTA_BASE_URL": "http://letta.internal:8283",
    "LETTA_API_KEY": "x",
    "GATEWAY_INTERNAL_URL": "http://gateway.internal:8000",
}


@pytest.fixture
def production(settings: Any) -> Any:
    for name, value in _GOOD.items():
        setattr(settings, name, value)
    return settings


def _ids() -> list[str]:
    messages = [*check_production(), *check_upstreams()]
    assert all(message.hint for message in messages)
    return [str(message.id) for message in messages]


@pytest.mark.usefixtures("production")
def test_says_nothing_about_a_good_production() -> None:
    assert _ids() == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DATABASE_URL", "", "gateway.E001"),
        ("REDIS_URL", "", "gateway.E002"),
        ("LITELLM_MASTER_KEY", "", "gateway.E003"),
        ("LETTA_API_KEY", "", "gateway.E004"),
        ("LITELLM_BASE_URL", "", "gateway.E012"),
        ("LETTA_BASE_URL", "", "gateway.E013"),
        ("ALLOWED_HOSTS", [], "gateway.E005"),
        ("ENCRYPTION_KEYS", (), "gateway.E006"),
        ("SECRET_KEY", "short", "gateway.E007"),
        ("SECRET_KEY", "ab" * 40, "gateway.E007"),
        ("SECRET_KEY", "development-only-0123456789-abcdefghijklmnopqrstuvwxyz", "gateway.E007"),
        ("DEBUG", True, "gateway.E008"),
        ("LETTA_BASE_URL", "letta:8283", "gateway.E009"),
        ("GATEWAY_INTERNAL_URL", "gateway:8000", "gateway.E009"),
        ("LETTA_BASE_URL", "ftp://letta", "gateway.E009"),
        ("LETTA_BASE_URL", "http://user:pass@letta", "gateway.E009"),
        ("LITELLM_BASE_URL", "http://litellm:port", "gateway.E009"),
        ("AMS_BASE_URL", "http://", "gateway.E009"),
        ("METRICS_TOKEN", "", "gateway.W001"),
        ("SECURE_HSTS_SECONDS", 0, "gateway.W003"),
        ("SECURE_SSL_REDIRECT", False, "gateway.W003"),
        ("LITELLM_BASE_URL", "http://litellm.example.com", "gateway.W002"),
        ("LETTA_BASE_URL", "http://8.8.8.8:8283", "gateway.W002"),
    ],
)
def test_names_what_production_lacks(
    production: Any, name: str, value: object, expected: str
) -> None:
    setattr(production, name, value)

    assert _ids() == [expected]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4000", "http://[::1]:4000", "http://litellm:4000", "https://8.8.8.8"]
)
def test_allows_plain_http_inside_and_tls_everywhere(production: Any, url: str) -> None:
    production.LITELLM_BASE_URL = url

    assert _ids() == []


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "null", "https://*.example.com/", "https://app.example.com/", "app.example.com"),
        *("https://App.example.com", "https://app.example.com:443", "https://a@app.example.com"),
        *("https://app.example.com/path", "https://app.example.com?x", "file://", "https://"),
    ],
)
def test_wants_origins_as_browsers_write_them(settings: Any, origin: str) -> None:
    settings.ALLOWED_ORIGINS = ("https://app.example.com", "http://[::1]:3000", origin)

    (message,) = check_origins()

    assert (message.id, bool(message.hint)) == ("gateway.E010", True)
    assert repr(origin) in message.msg


def test_demands_no_token_for_metrics_that_are_off(production: Any) -> None:
    production.ENABLE_METRICS = False
    production.METRICS_TOKEN = ""

    assert _ids() == []


def test_demands_nothing_of_development(production: Any) -> None:
    production.IS_PRODUCTION = False
    production.DATABASE_URL = production.METRICS_TOKEN = ""

    assert _ids() == []


def test_passes_the_deployment_check_under_a_good_environment(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "django", "check", "--deploy", "--fail-level=WARNING"],
        cwd=_CHECKOUT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "gateway_project.settings",
            "AUDIT_SPOOL_DIR": str(tmp_path),
            **_ENVIRONMENT,
        },
        capture_output=True,
        check=False,
        text=True,
    )

    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout


@pytest.mark.parametrize(("part", "expected"), [(0, []), (0.85, []), (1, ["E011"]), (85, ["E011"])])
def test_wants_a_bound_below_what_the_container_has(
    settings: Any, part: float, expected: list[str]
) -> None:
    settings.MAX_MEMORY_PART = part
    assert [str(message.id).removeprefix("gateway.") for message in check_memory()] == expected
