"""Users of the gateway, each with a token of the Supabase stand-in and the official SDKs."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
from letta_client import Letta
from openai import AsyncOpenAI, OpenAI

if TYPE_CHECKING:
    from tests.end_to_end.gateway_process import Gateway


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has signed in: ``id`` is the ``sub`` of their tokens."""

    id: str
    email: str
    token: str


@dataclass(frozen=True, slots=True)
class Supabase:
    """The sign-in service."""

    url: str

    def sign_up(self, name: str, **claims: Any) -> Person:
        """Make a new user with a token in which ``claims`` replace the usual ones."""
        email = f"{name}-{uuid4().hex[:12]}@example.com"
        wish = {"email": email, "claims": claims}
        answer = httpx.post(f"{self.url}/_sandbox/mint", json=wish).raise_for_status().json()
        return Person(answer["session"]["user"]["id"], email, answer["access_token"])


@dataclass(frozen=True, slots=True)
class Clients:
    """Makes clients for a person and closes them with itself."""

    gateway: Gateway
    _open: ExitStack = field(default_factory=ExitStack)

    def openai(self, person: Person, *, base: str = "/api/v1/llm/v1") -> OpenAI:
        """Return OpenAI's SDK with nothing changed but address and key."""
        client = OpenAI(base_url=self.gateway.url + base, api_key=person.token)
        return self._open.enter_context(client)

    def async_openai(self, person: Person) -> AsyncOpenAI:
        """Return OpenAI's asynchronous SDK; the caller closes it."""
        return AsyncOpenAI(base_url=f"{self.gateway.url}/api/v1/llm/v1", api_key=person.token)

    def letta(self, person: Person) -> Letta:
        """Return Letta's SDK with nothing changed but address and key."""
        client = Letta(base_url=f"{self.gateway.url}/api/v1/letta", api_key=person.token)
        return self._open.enter_context(client)

    def http(self, person: Person | None = None) -> httpx.Client:
        """Return a plain client that follows no redirects."""
        headers = {"authorization": f"Bearer {person.token}"} if person else {}
        client = httpx.Client(base_url=self.gateway.url, headers=headers, timeout=30)
        return self._open.enter_context(client)

    def close(self) -> None:
        """Close all."""
        self._open.close()
