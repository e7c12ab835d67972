from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from tests.conftest import Running, RunningSupabase

HEALTH, READY = "/api/v1/system/health", "/api/v1/system/ready"
INFO, UPSTREAMS = "/api/v1/system/info", "/api/v1/system/upstreams"
_NAMES = [
    *("memory", "database", "stored_secrets", "valkey", "key_server"),
    *("litellm", "litellm_master_key", "letta", "letta_default_actor"),
]

well = pytest.mark.usefixtures("supabase", "litellm", "letta")


def _check(response: Any, name: str) -> dict[str, Any]:
    return next(dict(check) for check in response.json()["checks"] if check["name"] == name)


@pytest.mark.parametrize("path", [HEALTH, INFO])
def test_answers_without_a_token_and_without_a_database(client: Client, path: str) -> None:
    # No django_db: a query would raise.
    response = client.get(path)

    assert response.status_code == 200
    assert response["cache-control"] == "no-store"


def test_health_tells_the_version(client: Client, settings: Any) -> None:
    assert client.get(HEALTH).json() == {"status": "ok", "version": settings.VERSION}


@well
@pytest.mark.django_db
def test_is_ready_when_all_is_well(client: Client) -> None:
    response = client.get(READY)

    assert response.status_code == 200, response.json()
    assert response.json()["status"] == "ok"
    assert [check["name"] for check in response.json()["checks"]] == _NAMES
    assert all(check["ok"] and check["latency_ms"] >= 0 for check in response.json()["checks"])


@well
@pytest.mark.django_db
@pytest.mark.usefixtures("dead_database")
def test_is_not_ready_without_the_database(client: Client) -> None:
    response = client.get(READY)

    assert response.status_code == 503
    assert response.json()["status"] == "failed"
    assert _check(response, "database")["status"] == "failed"
    assert _check(response, "letta")["ok"] is True


@pytest.mark.django_db
@pytest.mark.usefixtures("litellm", "letta")
def test_is_not_ready_without_any_signing_key(client: Client, supabase: RunningSupabase) -> None:
    supabase.fault("jwks", status=500)

    assert client.get(READY).status_code == 503


@well
@pytest.mark.django_db
def test_stays_ready_but_degraded_when_upstreams_and_valkey_are_gone(
    client: Client, settings: Any, nowhere: str
) -> None:
    settings.LITELLM_BASE_URL = settings.LETTA_BASE_URL = nowhere
    settings.REDIS_URL = nowhere.replace("http", "redis")

    response = client.get(READY)

    assert response.status_code == 200
    assert response.json()["status"] == "degraded"
    for name in ("valkey", "litellm", "litellm_master_key", "letta", "letta_default_actor"):
        assert _check(response, name)["status"] == "degraded"
    assert nowhere.removeprefix("http://") not in response.content.decode()


@well
@pytest.mark.django_db
def test_is_not_ready_when_letta_can_not_tell_users_apart(client: Client, letta: Running) -> None:
    letta.fault("^/v1/agents", status=200, body=[])

    response = client.get(READY)

    assert response.status_code == 503
    assert "LETTA_NO_DEFAULT_ACTOR" in _check(response, "letta_default_actor")["detail"]


@well
@pytest.mark.django_db
def test_repeats_a_fresh_answer_instead_of_asking_again(client: Client, letta: Running) -> None:
    client.get(READY)
    asked = len(letta.requests())

    client.get(READY)

    assert len(letta.requests()) == asked


def test_info_says_what_this_is_and_no_more(client: Client, settings: Any) -> None:
    answer = client.get(INFO).json()

    assert answer["name"] == "AI Agent Gateway"
    assert answer["environment"] == settings.ENVIRONMENT
    assert answer["uptime_seconds"] >= 0
    assert [upstream["name"] for upstream in answer["upstreams"]] == ["litellm", "letta"]
    assert answer["enabled"]["docs"] is True
    for secret in (settings.LETTA_BASE_URL, settings.LETTA_API_KEY, settings.LITELLM_MASTER_KEY):
        assert secret not in str(answer)


def test_shows_upstreams_to_nobody_without_a_token(client: Client) -> None:
    response = client.get(UPSTREAMS)

    assert response.status_code == 401
    assert response.json()["code"] == "caller_token_missing"


@well
@pytest.mark.django_db
def test_shows_upstreams_to_no_end_user(client: Client, supabase: RunningSupabase) -> None:
    token = supabase.token("alice@example.com")

    response = client.get(UPSTREAMS, headers={"authorization": f"Bearer {token}"})

    assert response.status_code == 403
    assert response.json()["code"] == "policy_forbidden"


@well
@pytest.mark.django_db
def test_shows_upstreams_to_staff_without_credentials(client: Client, settings: Any) -> None:
    settings.LITELLM_BASE_URL = settings.LITELLM_BASE_URL.replace("http://", "http://me:pass@")
    client.force_login(User.objects.create_user("staff", is_staff=True))

    answer = client.get(UPSTREAMS).json()

    assert {upstream["name"]: len(upstream["checks"]) for upstream in answer} == {
        "litellm": 2,
        "letta": 2,
    }
    assert answer[1]["address"] == settings.LETTA_BASE_URL
    assert "pass" not in answer[0]["address"]
    assert settings.LITELLM_MASTER_KEY not in str(answer)


@pytest.mark.parametrize("path", [HEALTH, READY, INFO])
def test_answers_405_to_other_methods(client: Client, path: str) -> None:
    assert client.post(path).json()["code"] == "caller_method_not_allowed"
