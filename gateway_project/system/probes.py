"""What the gateway needs, asked one by one.

Without the database or any key material no request can be served: those fail a replica. An upstream
that is away only degrades it, or one upstream's outage would take all replicas out of service and
the other upstream with them. The exception is a Letta that answers unknown users: it would show
everybody the same agents, so that is a failure until it is configured right.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import redis
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from accounts import conf
from gateway_core import crypto, encrypted
from gateway_core.cache import LocalCache
from gateway_core.logging import get_logger
from gateway_core.memory import MEMORY
from gateway_core.rest import RestClient
from gateway_core.valkey import sync_client
from gateway_project.system.readiness import PROBE_SECONDS, Impaired, Probe, Status
from letta_proxy.mode import is_cloud

if TYPE_CHECKING:
    from gateway_core.rest import RestAnswer

_ANSWER_LIMIT_BYTES: Final = 1024 * 1024
_NOT_CONFIGURED: Final = "not configured"
_TELLS_MORE: Final = "see manage.py check --database default"
# It reads a column of each table of secrets.
_SECRETS_SECONDS: Final = 60
# A shortage that is over sooner is one of load, which a balancer would only move to the others.
_LASTING_SECONDS: Final = 60
_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_log = get_logger("gateway.readiness")
# By the keys that they were tried with.
_secrets: LocalCache[tuple[str, ...], Status] = LocalCache(
    "stored secrets", ttl=lambda: _SECRETS_SECONDS, max_entries=1
)


def memory() -> str:
    """Say whether there is memory for new requests.

    Raises:
        Impaired: there is none; failed when it lasts: nobody is served here, and that so quickly
            that a balancer which goes by speed would send everybody.
    """
    if not MEMORY.is_short:
        return "is enough"
    lasts = MEMORY.short_seconds() > _LASTING_SECONDS
    raise Impaired(Status.FAILED if lasts else Status.DEGRADED, "is short; begins nothing new")


def database() -> str:
    """Ask PostgreSQL for something trivial.

    Raises:
        Impaired: it does not answer.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as exc:
        raise Impaired(Status.FAILED, "does not answer") from exc
    finally:
        connection.close()
    return "answers"


def stored_secrets() -> str:
    """Say whether ENCRYPTION_KEYS open what is stored; looked at once a minute.

    A server that finds that they don't does not start, but the database may have been away then,
    ``runserver`` does not look, and another process may have written under a key of its own.

    Raises:
        Impaired: they don't; failed when they open nothing, so that others serve if they can. Or
            nobody can say, and the next report asks again.
    """
    try:
        finding = _secrets.load_sync(crypto.known_key_ids(), _look_at_secrets)
    except DatabaseError as exc:
        raise Impaired(Status.DEGRADED, "nobody can say: the database does not answer") from exc
    finally:
        connection.close()
    if finding is not Status.OK:
        how_many = "not all" if finding is Status.DEGRADED else "none"
        raise Impaired(finding, f"ENCRYPTION_KEYS opens {how_many} of them: {_TELLS_MORE}")
    return "can be opened"


def _look_at_secrets() -> Status:
    fault = encrypted.find_fault()
    if fault is None:
        return Status.OK
    _log.error("stored secrets can't be opened", why=fault.detail)
    return Status.FAILED if fault.is_total else Status.DEGRADED


def valkey() -> str:
    """Ask Valkey or Redis whether it is there.

    Raises:
        Impaired: it is not; what processes share is then kept by each for itself.
    """
    if not settings.REDIS_URL:
        raise Impaired(Status.DEGRADED, _NOT_CONFIGURED)
    try:
        sync_client().ping()
    except redis.RedisError as exc:
        raise Impaired(Status.DEGRADED, "does not answer") from exc
    return "answers"


def key_server() -> str:
    """Ask whether tokens can be proved: by published keys that are trusted, or a shared secret.

    Raises:
        Impaired: they can't.
    """
    store = conf.verifier().store
    if store is None:
        if not settings.SUPABASE_JWT_SECRETS:
            raise Impaired(Status.FAILED, _NOT_CONFIGURED)
        return "shared secret"
    state = async_to_sync(store.state)()
    if not state.is_trusted:
        raise Impaired(Status.FAILED, "no signing keys: the key server does not answer")
    if not state.keys and not settings.SUPABASE_JWT_SECRETS:
        raise Impaired(Status.FAILED, "the key server publishes no usable key")
    if state.last_error:
        raise Impaired(Status.DEGRADED, "does not answer; the keys in hand are still trusted")
    return f"{state.keys} signing keys"


def litellm() -> str:
    """Ask LiteLLM whether it is ready, which it is not without its database."""
    return _judge(_get(settings.LITELLM_BASE_URL, "/health/readiness", {}))


def litellm_master_key() -> str:
    """Ask LiteLLM for its models as the gateway itself: without its key nobody gets keys.

    Raises:
        Impaired: it is refused, or nobody can say.
    """
    answer = _get(
        settings.LITELLM_BASE_URL,
        "/v1/models",
        {"authorization": f"Bearer {settings.LITELLM_MASTER_KEY}"},
    )
    if answer.status == HTTPStatus.OK:
        return "accepted"
    if answer.status in _REFUSED:
        raise Impaired(Status.DEGRADED, _refused("LiteLLM", "LITELLM_MASTER_KEY"))
    raise Impaired(Status.DEGRADED, f"nobody can say: LiteLLM answered {answer.status}")


def letta() -> str:
    """Ask Letta whether it is up."""
    return _judge(_get(settings.LETTA_BASE_URL, "/v1/health/", {}))


def letta_default_actor() -> str:
    """Ask Letta for the agents of a user that does not exist; only 404 is the right answer.

    Without ``LETTA_NO_DEFAULT_ACTOR`` Letta takes anybody it does not know for one default user.

    Raises:
        Impaired: failed when it answers, degraded when nobody can say.
    """
    if not settings.LETTA_BASE_URL:
        raise Impaired(Status.DEGRADED, _NOT_CONFIGURED)
    if is_cloud():
        return "Letta Cloud takes no users from the gateway"
    answer = _get(
        settings.LETTA_BASE_URL,
        "/v1/agents/?limit=1",
        {"authorization": f"Bearer {settings.LETTA_API_KEY}", "user_id": f"user-{uuid4()}"},
    )
    if answer.status == HTTPStatus.NOT_FOUND:
        return "unknown users are refused"
    if answer.status == HTTPStatus.OK and isinstance(answer.json(), list):
        raise Impaired(
            Status.FAILED,
            "Letta takes unknown users for one default user, so that all would share its agents. "
            "Set LETTA_NO_DEFAULT_ACTOR=true on the Letta server and restart it.",
        )
    if answer.status in _REFUSED:
        raise Impaired(Status.DEGRADED, _refused("Letta", "LETTA_API_KEY"))
    raise Impaired(Status.DEGRADED, f"nobody can say: Letta answered {answer.status}")


def _get(base_url: str, target: str, headers: dict[str, str]) -> RestAnswer:
    if not base_url:
        raise Impaired(Status.DEGRADED, _NOT_CONFIGURED)
    client = RestClient(
        base_url,
        headers=headers,
        connect_timeout=PROBE_SECONDS,
        read_timeout=PROBE_SECONDS,
        limit=_ANSWER_LIMIT_BYTES,
    )
    try:
        return client.call("GET", target)
    finally:
        client.close()


def _refused(upstream: str, setting: str) -> str:
    return f"{upstream} refuses the gateway's credential: see {setting}"


def _judge(answer: RestAnswer) -> str:
    if answer.status != HTTPStatus.OK:
        raise Impaired(Status.DEGRADED, f"answers with status {answer.status}")
    return "answers"


PROBES: Final = (
    Probe(name="memory", ask=memory, no_answer=Status.DEGRADED),
    Probe(name="database", ask=database, no_answer=Status.FAILED),
    Probe(name="stored_secrets", ask=stored_secrets, no_answer=Status.DEGRADED),
    Probe(name="valkey", ask=valkey, no_answer=Status.DEGRADED),
    Probe(name="key_server", ask=key_server, no_answer=Status.FAILED),
    Probe(name="litellm", ask=litellm, no_answer=Status.DEGRADED),
    Probe(name="litellm_master_key", ask=litellm_master_key, no_answer=Status.DEGRADED),
    Probe(name="letta", ask=letta, no_answer=Status.DEGRADED),
    Probe(name="letta_default_actor", ask=letta_default_actor, no_answer=Status.DEGRADED),
)
