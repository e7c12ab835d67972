"""What each probe says about something that is well, gone, wrong or hanging."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from accounts.models import User
from gateway_core import cache
from gateway_core.errors import GatewayError, UpstreamUnreachable
from gateway_project.sandbox import letta as letta_stand_in
from gateway_project.sandbox.serving import LoopbackServer
from gateway_project.sandbox.store import free_port
from gateway_project.system import probes
from gateway_project.system.readiness import Impaired, Status
from llm_proxy.models import VirtualKey
from tests.conftest import Running, RunningSupabase

OLD, NEW = "11" * 32, "22" * 32
_OF_UPSTREAMS = [
    *(probes.litellm, probes.litellm_master_key),
    *(probes.letta, probes.letta_default_actor),
]


@pytest.mark.django_db
def test_finds_the_database() -> None:
    assert probes.database() == "answers"


@pytest.mark.django_db
@pytest.mark.usefixtures("dead_database")
def test_fails_without_the_database() -> None:
    with pytest.raises(Impaired) as caught:
        probes.database()

    assert caught.value.status is Status.FAILED
    assert "127.0.0.1" not in caught.value.detail


@pytest.fixture
def fresh_findings() -> Iterator[None]:
    cache.clear_all()
    yield
    cache.clear_all()


def _store_a_secret() -> None:
    """Write one down under the encryption keys of the moment."""
    user = User.objects.create(pk=uuid4(), username=str(uuid4()))
    VirtualKey.objects.managed(user.pk)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("fresh_findings")
def test_finds_that_stored_secrets_can_be_opened() -> None:
    _store_a_secret()

    assert probes.stored_secrets() == "can be opened"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("fresh_findings")
@pytest.mark.parametrize(
    ("secrets", "status"), [((OLD,), Status.FAILED), ((OLD, NEW), Status.DEGRADED)]
)
def test_fails_when_no_stored_secret_can_be_opened(
    settings: Any, secrets: tuple[str, ...], status: Status
) -> None:
    for key in secrets:
        settings.ENCRYPTION_KEYS = (key,)
        _store_a_secret()
    settings.ENCRYPTION_KEYS = (NEW,)

    with pytest.raises(Impaired, match="ENCRYPTION_KEYS") as caught:
        probes.stored_secrets()

    assert caught.value.status is status


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("fresh_findings")
def test_does_not_look_at_all_secrets_each_time(
    settings: Any, django_assert_num_queries: Any
) -> None:
    settings.ENCRYPTION_KEYS = (NEW,)
    probes.stored_secrets()

    with django_assert_num_queries(0):
        probes.stored_secrets()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("fresh_findings")
def test_looks_at_stored_secrets_again_when_the_database_was_away(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ENCRYPTION_KEYS = (NEW,)
    away = {"HOST": "127.0.0.1", "PORT": free_port(), "OPTIONS": {"connect_timeout": 1}}
    connection.close()
    with monkeypatch.context() as patch:
        for name, value in away.items():
            patch.setitem(connection.settings_dict, name, value)
        with pytest.raises(Impaired, match="nobody can say") as caught:
            probes.stored_secrets()
    assert caught.value.status is Status.DEGRADED

    assert probes.stored_secrets() == "can be opened"


def test_finds_valkey() -> None:
    assert probes.valkey() == "answers"


@pytest.mark.parametrize("is_set", [True, False])
def test_is_degraded_without_valkey(settings: Any, nowhere: str, is_set: bool) -> None:  # noqa: FBT001
    settings.REDIS_URL = nowhere.replace("http", "redis") if is_set else ""

    with pytest.raises(Impaired) as caught:
        probes.valkey()

    assert caught.value.status is Status.DEGRADED


@pytest.mark.usefixtures("supabase")
def test_finds_signing_keys() -> None:
    assert probes.key_server().endswith("signing keys")


def test_is_content_with_a_shared_secret_where_there_is_no_key_server(settings: Any) -> None:
    settings.SUPABASE_JWKS_URL = ""
    settings.SUPABASE_JWT_SECRETS = ("s" * 40,)

    assert probes.key_server() == "shared secret"


def test_fails_when_nothing_can_prove_a_token(settings: Any) -> None:
    settings.SUPABASE_JWKS_URL = ""
    settings.SUPABASE_JWT_SECRETS = ()

    with pytest.raises(Impaired, match="not configured") as caught:
        probes.key_server()

    assert caught.value.status is Status.FAILED


def test_fails_when_the_key_server_never_answered(supabase: RunningSupabase) -> None:
    supabase.fault("jwks", status=503)

    with pytest.raises(Impaired, match="no signing keys") as caught:
        probes.key_server()

    assert caught.value.status is Status.FAILED


def test_fails_when_the_key_server_has_no_key(supabase: RunningSupabase) -> None:
    supabase.fault("jwks", status=200, body={"keys": []})

    with pytest.raises(Impaired, match="no usable key") as caught:
        probes.key_server()

    assert caught.value.status is Status.FAILED


def test_is_degraded_while_the_keys_outlive_their_server(
    supabase: RunningSupabase, settings: Any
) -> None:
    settings.JWKS_SOFT_TTL_SECONDS = 0.001
    probes.key_server()
    supabase.fault("jwks", status=503)

    def ask_until_it_is_noticed() -> None:
        for _ in range(500):  # the renewal runs behind the question
            probes.key_server()
            time.sleep(0.005)

    with pytest.raises(Impaired, match="still trusted") as caught:
        ask_until_it_is_noticed()

    assert caught.value.status is Status.DEGRADED


@pytest.mark.usefixtures("litellm", "letta")
def test_finds_the_upstreams() -> None:
    assert probes.litellm() == "answers"
    assert probes.letta() == "answers"


@pytest.mark.parametrize("probe", [probes.litellm, probes.letta])
def test_is_degraded_when_an_upstream_answers_with_an_error(
    litellm: Running, letta: Running, probe: Any
) -> None:
    for upstream in (litellm, letta):
        upstream.fault("health", status=503)

    with pytest.raises(Impaired, match="503") as caught:
        probe()

    assert caught.value.status is Status.DEGRADED


@pytest.mark.parametrize("probe", _OF_UPSTREAMS)
def test_leaves_an_upstream_that_is_gone_to_the_outer_rule(
    settings: Any, nowhere: str, probe: Any
) -> None:
    settings.LITELLM_BASE_URL = settings.LETTA_BASE_URL = nowhere

    with pytest.raises(UpstreamUnreachable):
        probe()

    assert all(known.no_answer is Status.DEGRADED for known in probes.PROBES if known.ask is probe)


@pytest.mark.parametrize("probe", _OF_UPSTREAMS)
def test_is_degraded_when_an_upstream_is_not_configured(settings: Any, probe: Any) -> None:
    settings.LITELLM_BASE_URL = settings.LETTA_BASE_URL = ""

    with pytest.raises(Impaired, match="not configured") as caught:
        probe()

    assert caught.value.status is Status.DEGRADED


@pytest.mark.usefixtures("litellm")
def test_says_when_litellm_refuses_the_master_key(settings: Any) -> None:
    assert probes.litellm_master_key() == "accepted"

    settings.LITELLM_MASTER_KEY = "sk-of-another-proxy"
    with pytest.raises(Impaired, match="see LITELLM_MASTER_KEY") as caught:
        probes.litellm_master_key()

    assert caught.value.status is Status.DEGRADED
    assert "another" not in caught.value.detail


def test_is_degraded_when_nobody_can_say_whether_the_master_key_is_good(litellm: Running) -> None:
    litellm.fault("models", status=500)

    with pytest.raises(Impaired, match="LiteLLM answered 500"):
        probes.litellm_master_key()


def test_is_content_when_letta_refuses_unknown_users(letta: Running) -> None:
    assert probes.letta_default_actor() == "unknown users are refused"

    (request,) = letta.requests("agents")
    assert request["headers"]["user_id"].startswith("user-")


def test_asks_nothing_of_letta_cloud_that_it_can_not_say(settings: Any, letta: Running) -> None:
    settings.LETTA_MODE = "cloud"

    assert probes.letta_default_actor() == "Letta Cloud takes no users from the gateway"
    assert letta.requests() == []


def test_fails_with_a_remedy_when_letta_takes_unknown_users_in(settings: Any) -> None:
    server = LoopbackServer()
    with server.start(letta_stand_in.create_app(password="pw", allow_default_actor=True)):
        settings.LETTA_BASE_URL, settings.LETTA_API_KEY = server.url, "pw"

        with pytest.raises(Impaired) as caught:
            probes.letta_default_actor()

    assert caught.value.status is Status.FAILED
    assert "LETTA_NO_DEFAULT_ACTOR=true" in caught.value.detail


@pytest.mark.usefixtures("letta")
def test_is_degraded_when_letta_refuses_our_credential(settings: Any) -> None:
    settings.LETTA_API_KEY = "wrong-password"

    with pytest.raises(Impaired, match="LETTA_API_KEY") as caught:
        probes.letta_default_actor()

    assert caught.value.status is Status.DEGRADED
    assert "wrong-password" not in caught.value.detail


def test_is_degraded_when_letta_can_not_say(letta: Running) -> None:
    letta.fault("agents", status=500)

    with pytest.raises(Impaired, match="nobody can say") as caught:
        probes.letta_default_actor()

    assert caught.value.status is Status.DEGRADED


def test_takes_garbage_for_what_it_is(letta: Running) -> None:
    letta.fault("health", cut_after=0)

    with pytest.raises(GatewayError):
        probes.letta()
