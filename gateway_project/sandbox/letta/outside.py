"""What leaves the server: model calls, and the requests and code that callers can make it run.

The real server fetches URLs that callers name, with its own provider key where it takes them for
a model endpoint, and runs code that they bring. Here all of it is recorded, for
``GET /_sandbox/fetched`` and ``/_sandbox/executed``. A named URL is really fetched only when it
points to this machine, and no code is run.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gateway_core.errors import UpstreamError
from gateway_core.http import UpstreamClient
from gateway_project.sandbox.letta.ids import now

if TYPE_CHECKING:
    from gateway_project.sandbox.letta.store import Actor, Row

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_FETCH_SECONDS: Final = 2.0


def is_loopback(url: str) -> bool:
    """Tell whether a URL points to this machine."""
    return urlsplit(url).hostname in _LOOPBACK


@dataclass(slots=True)
class Outside:
    """The client for outgoing calls and the record of those that callers caused."""

    client: UpstreamClient = field(
        default_factory=lambda: UpstreamClient(
            name="letta-sandbox", base_url="", connect_timeout=2.0, max_connections=100
        )
    )
    fetched: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=1000))
    executed: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=1000))

    def clear(self) -> None:
        """Forget what was recorded."""
        self.fetched.clear()
        self.executed.clear()

    def note_fetch(self, url: str, *, why: str, actor: Actor, **more: str) -> None:
        """Record that the real server would request a URL which a caller chose."""
        self.fetched.append({"url": url, "why": why, "actor": actor.id, "at": now(), **more})

    def note_execution(self, code: str, *, why: str, actor: Actor) -> None:
        """Record that the real server would run code which a caller brought."""
        self.executed.append({"source_code": code, "why": why, "actor": actor.id, "at": now()})

    async def fetch(
        self, method: str, url: str, *, why: str, actor: Actor, payload: Row | None = None
    ) -> int | None:
        """Record and, on this machine only, make a request. Return its status, if it had one."""
        self.note_fetch(url, why=why, actor=actor)
        if not is_loopback(url):
            return None
        try:
            status, _ = await self.client.fetch(
                method, url, headers={}, payload=payload, timeout_seconds=_FETCH_SECONDS
            )
        except UpstreamError:
            return None
        return status
