from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from accounts import conf
from accounts.tokens.store import JwksStore
from accounts.tokens.verify import TokenVerifier
from gateway_core import cache
from tests.accounts.key_server import KeyServer, serving
from tests.accounts.mint import ISSUER, POLICY, Signer, jwks, new_signer
from tests.timing import Clock


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    with serving() as state:
        yield state


@pytest.fixture
def signer(key_server: KeyServer) -> Signer:
    """The key that the sign-in service signs with and publishes."""
    signer = new_signer()
    key_server.publish(signer)
    return signer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(key_server: KeyServer, clock: Clock) -> JwksStore:
    return JwksStore(key_server.url, clock=clock)


@pytest.fixture
def verifier(store: JwksStore) -> TokenVerifier:
    return TokenVerifier(policy=POLICY, store=store)


@pytest.fixture
def sign_in_service(
    key_server: KeyServer, signer: Signer, settings: Settings
) -> Iterator[KeyServer]:
    """The key server that this process is set up with, and nothing remembered of anybody."""
    assert key_server.document == jwks(signer)
    for name, value in {
        "SUPABASE_JWKS_URL": key_server.url,
        "SUPABASE_ISSUERS": (ISSUER,),
        "SUPABASE_JWT_SECRETS": (),
    }.items():
        setattr(settings, name, value)
    conf.verifier.cache_clear()
    cache.clear_all()
    yield key_server
    cache.clear_all()
    conf.verifier.cache_clear()


@pytest.fixture
def database_down(transactional_db: None) -> Iterator[None]:
    """PostgreSQL is at an address where nobody listens, until the test ends."""
    del transactional_db
    usual = dict(connection.settings_dict)
    pool = {**usual["OPTIONS"].get("pool", {}), "timeout": 0.1}
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        _reconnect(HOST="127.0.0.1", PORT=unused.getsockname()[1], OPTIONS={"pool": pool})
        yield
        _reconnect(**usual)


def _reconnect(**settings_of_database: Any) -> None:
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    connection.settings_dict.update(settings_of_database)
