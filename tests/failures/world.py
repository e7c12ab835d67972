"""A gateway process and all that it stands on, each over a wire that can be broken."""

from __future__ import annotations

import os
import re
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, LiteralString
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import orjson
import psycopg
import redis
from django.test import override_settings

from llm_proxy.agent_proxy.models import FIRST_VERSION
from llm_proxy.agent_proxy.secrets import Claim, secret_of
from tests.agents.conftest import agent_file
from tests.end_to_end.gateway_process import no_settings
from tests.end_to_end.killable_gateway import KillableGateway
from tests.failures.wire import Fault, Wire
from tests.timing import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.conftest import Running, RunningSupabase

# All cases, and not the quick ones alone.
IS_WHOLE: Final = bool(os.environ.get("ALL_FAILURES"))
# Short, so that a run is in which much is waited for. In the quick one upstreams only refuse, and
# what is slow there is the machine: an answer that is late is not to look like one that fails.
_PATIENCE: Final = "1.5" if IS_WHOLE else "10"
# Seconds. What is promised is said in their names.
SETTINGS: Final = {
    "CIRCUIT_BREAKER_FAILURE_THRESHOLD": "40",
    "CIRCUIT_BREAKER_RECOVERY_TIMEOUT": "3",
    "DATABASE_POOL_TIMEOUT": "2" if IS_WHOLE else "5",
    "DATABASE_TIMEOUT": _PATIENCE,
    "AMS_TIMEOUT": _PATIENCE,
    "LETTA_QUICK_TIMEOUT": _PATIENCE,
    "LITELLM_QUICK_TIMEOUT": _PATIENCE,
    "SUPABASE_TIMEOUT": _PATIENCE,
    "UPSTREAM_CONNECT_TIMEOUT": "0.5" if IS_WHOLE else "5",
    "UPSTREAM_FIRST_BYTE_TIMEOUT": _PATIENCE,
    "UPSTREAM_IDLE_TIMEOUT": _PATIENCE,
    "JWKS_SOFT_TTL_SECONDS": "0.2",
    "JWKS_HARD_TTL_SECONDS": "0.6" if IS_WHOLE else "3",
    "AUDIT_SHIP_SECONDS": "0.2",
    "CACHE_TTL_HEALTH": "0.1",
    "RATE_LIMIT_GENERAL": "1000000/h:10000:1000",
    "RATE_LIMIT_LLM": "1000000/h:10000:1000",
    "RATE_LIMIT_PROXY": "1000000/h:10000:1000",
    "RATE_LIMIT_WRITES": "1000000/h:10000",
    "ENABLE_RATE_LIMITING": "true",
    "LOG_FORMAT": "json",
}
_CLIENT_SECONDS: Final = 30.0
_SLOW_SECONDS: Final = 0.2
_SLOW_DATABASE_SECONDS: Final = 0.03  # for each of many answers
_NOT_JSON: Final = (
    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"half": <<<'
)
_NO_PROTOCOL: Final = b"\x00\xffneither a word nor a number\r\n"
# Own circuits and limits beside those of the other tests.
_VALKEY_DATABASE: Final = "/7"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a token."""

    id: str
    token: str


@dataclass
class World:
    """Everything that a case needs.

    Attributes:
        wires: by what stands behind them.
        gateway: manages agents itself; ``remote`` leaves them to an AMS.
    """

    wires: dict[str, Wire]
    gateway: KillableGateway
    remote: KillableGateway
    supabase: RunningSupabase
    litellm: Running
    letta: Running
    database_url: str
    valkey_url: str
    staff_password: str
    templates: dict[str, str] = field(default_factory=dict)

    def wires_of(self, service: str) -> list[Wire]:
        """Return the wires to what fails: ``valkey``, or ``postgres and valkey``."""
        return [self.wires[name] for name in service.split(" and ")]

    def person(self, name: str = "somebody") -> Person:
        """Return somebody whom the gateway has never heard of."""
        minted = self.supabase.mint(email=f"{name}-{uuid4().hex[:12]}@example.com")
        return Person(minted["session"]["user"]["id"], minted["access_token"])

    def agents_secret(self, person: Person) -> str:
        """Return what the agents of somebody prove themselves with."""
        keys = [self.gateway.settings["AGENT_SECRET_MASTER_KEY"]]
        with override_settings(AGENT_SECRET_MASTER_KEYS=keys):
            return secret_of(Claim(UUID(person.id), FIRST_VERSION))

    def query(self, statement: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database, on a wire of its own."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else []

    def suspend(self, person: Person) -> None:
        """Switch a user off, as the admin does."""
        self.query("UPDATE accounts_user SET is_active = false WHERE id = %s", person.id)
        with redis.Redis.from_url(self.valkey_url) as client:
            client.publish("gateway:invalidate", orjson.dumps(["principal", person.id]))

    def begin_anew(self) -> None:
        """Have nothing left of what was before: all wires whole, all circuits closed.

        Other tests may have left faults and clocks that are off in Letta and LiteLLM, too.
        """
        for wire in self.wires.values():
            wire.mend()
        for server in (self.letta, self.litellm):
            server.reset()
        for url in (self.gateway.url, self.remote.url):
            for name in ("litellm", "letta", "letta-turns", "ams", "supabase"):
                address = f"{url}/api/v1/system/upstreams/{name}/breaker"
                wait_until(partial(self._reset, address), _CLIENT_SECONDS)

    def _reset(self, address: str) -> bool:
        reset = self.client.post(address, json={"action": "reset"}, headers=self.staff)
        assert reset.status_code != httpx.codes.UNAUTHORIZED, reset.text  # no waiting mends that
        return reset.is_success

    def template(self, gateway: KillableGateway, person: Person) -> str:
        """Return a template of a user's."""
        headers = {"authorization": f"Bearer {person.token}"}
        address = f"{gateway.url}/api/v1/ams/templates/publish"
        published = self.client.post(address, json=agent_file(), headers=headers)
        return str(published.raise_for_status().json()["template_id"])

    @cached_property
    def client(self) -> httpx.Client:
        """Waits longer than anything may take."""
        return httpx.Client(timeout=_CLIENT_SECONDS)

    @cached_property
    def staff(self) -> dict[str, str]:
        """The headers of somebody with all rights, with a token."""
        person = self.person("staff")
        headers = {"authorization": f"Bearer {person.token}"}
        self.client.get(f"{self.gateway.url}/api/v1/me", headers=headers).raise_for_status()
        self.query(
            "UPDATE accounts_user SET is_staff = true, is_superuser = true WHERE id = %s", person.id
        )
        return headers

    @cached_property
    def admin(self) -> dict[str, str]:
        """The headers of somebody signed in to the admin."""
        with httpx.Client(base_url=self.gateway.url, timeout=_CLIENT_SECONDS) as client:
            page = client.get("/admin/login/").raise_for_status()
            found = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
            form = {
                "csrfmiddlewaretoken": found[1] if found else "",
                "username": "root",
                "password": self.staff_password,
            }
            signed_in = client.post("/admin/login/?next=/admin/", data=form)
            assert signed_in.status_code == httpx.codes.FOUND, signed_in.text[-3000:]
            return {"cookie": f"sessionid={client.cookies['sessionid']}"}


@contextmanager
def running_world(
    data: Path, *, supabase: RunningSupabase, litellm: Running, letta: Running, ams: Running
) -> Iterator[World]:
    """Start two gateways over a new database, on what the tests run already."""
    name = f"failures_{uuid4().hex[:12]}"
    server = urlsplit(os.environ["DATABASE_URL"])
    database_url = server._replace(path=f"/{name}").geturl()
    valkey_url = urlsplit(os.environ["REDIS_URL"])._replace(path=_VALKEY_DATABASE).geturl()
    targets = {
        "postgres": database_url,
        "valkey": valkey_url,
        "key server": supabase.url,
        "supabase": supabase.url,
        "letta": letta.url,
        "litellm": litellm.url,
        "ams": ams.url,
    }
    with ExitStack() as stack:
        keeper = stack.enter_context(psycopg.connect(server.geturl(), autocommit=True))
        keeper.execute(f"CREATE DATABASE {name}")
        stack.callback(keeper.execute, f"DROP DATABASE {name} WITH (FORCE)")
        wires = {
            one: stack.enter_context(
                Wire(
                    target,
                    garbage=_NOT_JSON if target.startswith("http") else _NO_PROTOCOL,
                    slow_seconds=_SLOW_DATABASE_SECONDS if one == "postgres" else _SLOW_SECONDS,
                )
            )
            for one, target in targets.items()
        }
        password = uuid4().hex
        settings = {
            **no_settings(),
            **SETTINGS,
            **supabase.credentials,
            **litellm.credentials,
            **letta.credentials,
            "PATH": os.environ["PATH"],
            "HOME": str(data),
            "SANDBOX_DIR": str(data / "sandbox"),
            "DJANGO_SECRET_KEY": uuid4().hex * 2,
            "ENCRYPTION_KEYS": uuid4().hex * 2,
            "AGENT_SECRET_MASTER_KEY": uuid4().hex * 2,
            "AUDIT_SIGNING_KEY": uuid4().hex * 2,
            "DATABASE_URL": wires["postgres"].url,
            "REDIS_URL": wires["valkey"].url,
            "SUPABASE_URL": wires["supabase"].url,
            "SUPABASE_ISSUERS": f"{supabase.url}/auth/v1",
            "SUPABASE_JWKS_URL": f"{wires['key server'].url}/auth/v1/.well-known/jwks.json",
            "LITELLM_BASE_URL": wires["litellm"].url,
            "LETTA_BASE_URL": wires["letta"].url,
            "DJANGO_SUPERUSER_USERNAME": "root",
            "DJANGO_SUPERUSER_PASSWORD": password,
        }
        gateways = [
            _gateway(data / which, settings, ams=ams.credentials | {"AMS_BASE_URL": url})
            for which, url in (("local", ""), ("remote", wires["ams"].url))
        ]
        for gateway in gateways:
            stack.callback(gateway.close)
        gateways[0].manage("migrate", "--verbosity", "0").check_returncode()
        gateways[0].manage("createsuperuser", "--noinput").check_returncode()
        _start_all(gateways)
        world = World(
            wires=wires,
            gateway=gateways[0],
            remote=gateways[1],
            supabase=supabase,
            litellm=litellm,
            letta=letta,
            database_url=database_url,
            valkey_url=valkey_url,
            staff_password=password,
        )
        # It takes many calls to see a circuit open or somebody forgotten: agents are made of them
        # once they are tried again, and a budget would be spent.
        world.query("UPDATE accounts_plan SET max_agents = NULL, budget = NULL")
        yield world
        world.client.close()


def _gateway(data: Path, settings: Mapping[str, str], *, ams: Mapping[str, str]) -> KillableGateway:
    data.mkdir()
    gateway = KillableGateway(
        settings={**settings, **ams, "AUDIT_SPOOL_DIR": str(data / "spool")},
        log=data / "gateway.log",
    )
    gateway.settings["GATEWAY_INTERNAL_URL"] = gateway.url
    return gateway


def _start_all(gateways: list[KillableGateway]) -> None:
    threads = [threading.Thread(target=gateway.start) for gateway in gateways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(gateway.is_up.is_set() for gateway in gateways)


__all__ = ("IS_WHOLE", "SETTINGS", "Fault", "Person", "World", "running_world")
