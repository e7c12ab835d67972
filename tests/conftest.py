"""What the whole test run stands on: engines, stand-ins for the upstreams, and the gateway itself.

Before Django reads its settings, PostgreSQL and Valkey are started in a temporary directory and
the environment is made the same everywhere: nothing of a developer's ``.env`` or shell comes in.

Fixtures (those of a server are clean at the beginning of each test):

- ``supabase``, ``litellm``, ``letta``: a running stand-in with ``url``, ``requests()``,
  ``fault(…)`` and ``client`` (an ``httpx.Client`` on it). ``supabase.token(email, **claims)`` gives
  a valid access token of that user, made when new; ``supabase.mint(…)`` a wrong one.
- ``gateway``: address of the real application under a real uvicorn in this process, with the three
  stand-ins behind it. It serves from threads and connections of its own and sees committed data
  only, so it brings ``transactional_db`` along: tables are emptied after the test, and what
  migrations put into them comes back.
- ``client_for(email)``: an ``httpx.Client`` on the gateway that is signed in as that user.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import ssl
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django
import httpx
import hypothesis
import pytest
import redis
from django.conf import settings
from pytest_django.plugin import DjangoDbBlocker, blocking_manager_key

from gateway_project.sandbox.engines import Engines
from gateway_project.sandbox.serving import LoopbackServer
from gateway_project.sandbox.stand_ins import STAND_INS, StandIn
from gateway_project.sandbox.store import Store
from tests import leaks
from tests.timing import wait_until

_CHECKOUT = Path(__file__).resolve().parent.parent
_DATA = Path(tempfile.mkdtemp(prefix="gateway-tests-"))
_ENGINES = Engines(_DATA, hasty=True)
_STORE = Store(_DATA)
_TLS = ssl.create_default_context()  # reading the system's certificates takes a client 20 ms
_SHIPPED_ROWS: list[str] = []
_SERVERS = {stand_in.name: LoopbackServer() for stand_in in STAND_INS}
_GATEWAY = LoopbackServer()
_KEPT_TASKS: set[asyncio.Task[Any] | None] = set()
_SETTLE_SECONDS = 2.0


# What a machine that is busy with other things is slow at says nothing of the code.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


def _prepare_environment() -> None:
    variables = re.findall(r"^#?\s*([A-Z][A-Z0-9_]+)=", _env_example(), flags=re.MULTILINE)
    os.environ |= dict.fromkeys(variables, "")
    _ENGINES.start()
    for stand_in in STAND_INS:
        if stand_in.name != "ams":  # without its address the local driver is used
            os.environ |= stand_in.environment(_SERVERS[stand_in.name].url, _STORE)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "gateway_project.settings",
        "ENVIRONMENT": "test",
        "DJANGO_SECRET_KEY": "test-" + "0" * 50,
        "ENCRYPTION_KEYS": "11" * 32,
        "AGENT_SECRET_MASTER_KEY": "22" * 32,
        "AUDIT_SIGNING_KEY": "33" * 32,
        "GATEWAY_INTERNAL_URL": _GATEWAY.url,
        "AUDIT_SPOOL_DIR": str(_DATA / "spool"),
        "JOBS_SECONDS": "0",  # nor does anybody else do a test's jobs
        "AUDIT_SHIP_SECONDS": "0",  # what a test wants in the table, it ships itself
        "ENABLE_RATE_LIMITING": "false",  # tests of limits switch it on
        "MAX_MEMORY_PART": "0",  # whatever the tests run in is full of
        "USAGE_COLLECT_SECONDS": "0",  # and what it wants from LiteLLM's log, it fetches
    }


def _env_example() -> str:
    return (_CHECKOUT / "env.example").read_text(encoding="utf-8")


_prepare_environment()
with leaks.watched_log():
    django.setup()
leaks.watch()
settings.MIDDLEWARE.insert(0, "tests.leaks.scanning_middleware")


def pytest_unconfigure() -> None:
    for server in (*_SERVERS.values(), _GATEWAY):
        server.stop()
    _ENGINES.stop()
    shutil.rmtree(_DATA)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """Bring back the rows that migrations ship, which a transactional test has emptied away."""
    from gateway_core import context  # noqa: PLC0415 - needs the settings above
    from gateway_core.postgresql.outage import OUTAGE  # noqa: PLC0415 - as above

    OUTAGE.end()  # a test may have had it all to itself
    context.current.set(None)
    yield
    _forget_trips()
    if nextitem is None:  # the test database is gone by now
        return
    marker = item.get_closest_marker("django_db")
    if (marker and marker.kwargs.get("transaction")) or "transactional_db" in _fixtures(item):
        blocker = item.config.stash[blocking_manager_key]
        with blocker.unblock():
            _restore_shipped_rows()


def _forget_trips() -> None:
    """Forget which breakers were tripped: the rows are gone by now."""
    from gateway_project.system import trips  # noqa: PLC0415 - needs the settings above
    from gateway_project.upstreams import breakers  # noqa: PLC0415 - as above

    trips._known.clear()
    for breaker in breakers().values():
        breaker.set_trip(None)


def _fixtures(item: pytest.Item) -> list[str]:
    return list(item.fixturenames) if isinstance(item, pytest.Function) else []


def _restore_shipped_rows() -> None:
    from django.db import connection  # noqa: PLC0415 - needs the settings above

    connection.creation.deserialize_db_from_string(_SHIPPED_ROWS[0])
    connection.close()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    del django_db_setup
    from django.db import connection  # noqa: PLC0415 - needs the settings above

    with django_db_blocker.unblock():
        rows = json.loads(connection.creation.serialize_db_to_string())
    # Those of these two apps come back by themselves, with new ids.
    kept = [row for row in rows if row["model"].split(".")[0] not in {"auth", "contenttypes"}]
    _SHIPPED_ROWS.append(json.dumps(kept))


@pytest.fixture(scope="session", autouse=True)
def _hash_passwords_quickly() -> Iterator[None]:
    from django.test import override_settings  # noqa: PLC0415 - needs the settings above

    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(PASSWORD_HASHERS=hashers):
        yield


@pytest.fixture(autouse=True)
def _no_key_comes_out() -> Iterator[None]:
    yield
    found, leaks.found[:] = list(leaks.found), []
    assert not found, f"key material came out: {found}"


@pytest.fixture(autouse=True)
def _closed_circuits() -> Iterator[None]:
    """Forget the failures that a test brings about: its process has one breaker of each name."""
    from gateway_core.breaker.breaker import _SHARED  # noqa: PLC0415 - as below
    from gateway_core.breaker.machine import Circuit, State  # noqa: PLC0415 - as below
    from gateway_core.rates import LIMITER  # noqa: PLC0415 - as below
    from gateway_project.upstreams import breakers  # noqa: PLC0415 - needs the settings above

    yield
    for breaker in breakers().values():
        if breaker.circuit.state is not State.CLOSED:
            with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
                client.delete(f"gateway:breaker:{breaker.name}")
            breaker._shared = breaker.circuit = Circuit()
        breaker.forget()
    _SHARED._outage.end()  # a test may have had Valkey away
    LIMITER._outage.end()


@dataclass
class Running:
    """A stand-in that serves."""

    url: str
    credentials: dict[str, str]
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url)

    def reset(self) -> None:
        self.client.post("/_sandbox/reset").raise_for_status()

    def fault(self, path: str, **members: Any) -> None:
        """Make requests whose path matches go wrong; see ``gateway_project.sandbox.faults``."""
        self.client.post("/_sandbox/fault", json={"path": path, **members}).raise_for_status()

    def mend(self) -> None:
        """Remove all faults."""
        self.client.delete("/_sandbox/fault").raise_for_status()

    def requests(self, path: str = "") -> list[dict[str, Any]]:
        """Return what arrived at paths that match, oldest first."""
        log = self.client.get("/_sandbox/requests").raise_for_status().json()
        return [request for request in log if re.search(path, request["path"])]


class RunningSupabase(Running):
    """The stand-in for Supabase Auth."""

    def token(self, email: str = "alice@example.com", **claims: Any) -> str:
        """Return an access token; ``claims`` go over the usual ones, None removes one."""
        return str(self.mint(email=email, claims=claims)["access_token"])

    def mint(self, **wish: Any) -> dict[str, Any]:
        """Return ``{"access_token", "session"}``; see ``sandbox.supabase.controls``."""
        answer = self.client.post("/_sandbox/mint", json=wish).raise_for_status()
        return dict(answer.json())


def serve(name: str, server: LoopbackServer, kind: type[Running] = Running) -> Iterator[Any]:
    """Serve one of the stand-ins, with a state of its own, until the fixture ends."""
    stand_in: StandIn = next(one for one in STAND_INS if one.name == name)
    credentials = dict(stand_in.credentials(_STORE))
    with server.start(stand_in.build(server.url, credentials, None)):
        running = kind(server.url, credentials)
        yield running
        running.client.close()


@pytest.fixture(scope="session")
def supabase_server() -> Iterator[RunningSupabase]:
    yield from serve("supabase", _SERVERS["supabase"], RunningSupabase)


@pytest.fixture(scope="session")
def litellm_server() -> Iterator[Running]:
    yield from serve("litellm", _SERVERS["litellm"])


@pytest.fixture(scope="session")
def letta_server() -> Iterator[Running]:
    yield from serve("letta", _SERVERS["letta"])


@pytest.fixture
def supabase(supabase_server: RunningSupabase) -> RunningSupabase:
    supabase_server.reset()
    return supabase_server


@pytest.fixture
def litellm(litellm_server: Running) -> Running:
    litellm_server.reset()
    return litellm_server


@pytest.fixture
def letta(letta_server: Running) -> Running:
    letta_server.reset()
    return letta_server


@pytest.fixture(scope="session")
def gateway_server(
    django_db_setup: None,
    supabase_server: RunningSupabase,
    litellm_server: Running,
    letta_server: Running,
) -> Iterator[LoopbackServer]:
    del django_db_setup, supabase_server, litellm_server, letta_server
    with leaks.watched_log():  # which this sets up anew
        from gateway_project.asgi import application  # noqa: PLC0415 - needs the settings above

    with _GATEWAY.start(leaks.scanning(application)) as server:
        _wait_until_it_hears(os.environ["REDIS_URL"])
        server.run(_keep_tasks())
        yield server


def _wait_until_it_hears(valkey_url: str) -> None:
    """Wait for the subscription of the caches, which empties them: of the tests' process, too."""
    with redis.Redis.from_url(valkey_url) as client:
        wait_until(lambda: client.pubsub_numsub("gateway:invalidate")[0][1])
    time.sleep(0.05)


@pytest.fixture
def gateway(
    transactional_db: None,
    gateway_server: LoopbackServer,
    supabase: RunningSupabase,
    litellm: Running,
    letta: Running,
) -> Iterator[str]:
    del transactional_db, supabase, litellm, letta
    from gateway_core import cache  # noqa: PLC0415 - needs the settings above

    cache.clear_all()
    yield gateway_server.url
    gateway_server.run(_settle())
    gateway_server.run(_close_pools())


async def _settle() -> None:
    """Let the gateway end what a client did not wait for, so that it writes into no other test."""
    me, loop = asyncio.current_task(), asyncio.get_running_loop()
    until = loop.time() + _SETTLE_SECONDS
    while asyncio.all_tasks() - _KEPT_TASKS - {me} and loop.time() < until:
        await asyncio.sleep(0.005)


async def _keep_tasks() -> None:
    """Note what the gateway does for as long as it serves."""
    _KEPT_TASKS.update(asyncio.all_tasks() - {asyncio.current_task()})


async def _close_pools() -> None:
    """Close the gateway's connections to upstreams: the next test may use them in its own loop."""
    from gateway_project.upstreams import upstreams  # noqa: PLC0415 - needs the settings above

    for upstream in upstreams():
        await upstream.close()


@pytest.fixture
def client_for(gateway: str, supabase: RunningSupabase) -> Iterator[Callable[[str], httpx.Client]]:
    clients: list[httpx.Client] = []

    def sign_in(email: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {supabase.token(email)}"}
        clients.append(httpx.Client(base_url=gateway, headers=headers, verify=_TLS))
        return clients[-1]

    yield sign_in
    for client in clients:
        client.close()
