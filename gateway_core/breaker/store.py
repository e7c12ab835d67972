"""Where circuits are kept: in Valkey, so that processes share them, or in the process alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import orjson
from django.conf import settings

from gateway_core import valkey
from gateway_core.breaker.machine import Circuit
from gateway_core.logging import get_logger

_log = get_logger("gateway.breaker")
_KEY: Final = "gateway:breaker:{}"
_TRIES: Final = 20
# A circuit that nobody has touched for so long belongs to an upstream that is gone.
_KEPT_SECONDS: Final = 7 * 86_400
# KEYS[1]: the circuit; ARGV: what it was (empty: absent), what it becomes, seconds to keep it.
_COMPARE_AND_SET: Final = """
local was = redis.call('GET', KEYS[1]) or ''
if was ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""

Change: TypeAlias = Callable[[Circuit], Circuit | None]


class Store(Protocol):
    """Keeps circuits by name."""

    async def read(self, name: str) -> Circuit:
        """Return a circuit."""
        ...

    async def change(self, name: str, change: Change) -> tuple[Circuit, bool]:
        """Put what ``change`` makes of a circuit in its place, unless it makes None of it.

        Returns:
            The circuit as it is now, and whether it was changed.
        """
        ...


class OwnStore:
    """Circuits of this process."""

    def __init__(self) -> None:
        self._circuits: dict[str, Circuit] = {}

    async def read(self, name: str) -> Circuit:
        """Return a circuit."""
        return self._circuits.get(name, Circuit())

    async def change(self, name: str, change: Change) -> tuple[Circuit, bool]:
        """See ``Store.change``."""
        circuit = self._circuits.get(name, Circuit())
        changed = change(circuit)
        if changed is not None:
            self._circuits[name] = changed
        return changed or circuit, changed is not None


class SharedStore:
    """Circuits of all processes. While Valkey is away, each process keeps its own."""

    def __init__(self) -> None:
        self._own = OwnStore()
        self._is_away = False

    async def read(self, name: str) -> Circuit:
        """Return a circuit."""
        return (await self.change(name, lambda _: None))[0]

    async def change(self, name: str, change: Change) -> tuple[Circuit, bool]:
        """See ``Store.change``."""
        if not settings.REDIS_URL:
            return await self._own.change(name, change)
        try:
            circuit, is_changed = await self._change(name, change)
        except valkey.AWAY as exc:
            if not self._is_away:
                _log.warning("breakers hold for one process only", error=type(exc).__name__)
            self._is_away = True
            return await self._own.change(name, change)
        self._is_away = False
        await self._own.change(name, lambda _: circuit)
        return circuit, is_changed

    async def _change(self, name: str, change: Change) -> tuple[Circuit, bool]:
        client, key = valkey.client(), _KEY.format(name)
        compare_and_set = client.register_script(_COMPARE_AND_SET)
        for _ in range(_TRIES):
            was = await client.get(key) or b""
            circuit = Circuit.from_dict(orjson.loads(was)) if was else Circuit()
            changed = change(circuit)
            if changed is None:
                return circuit, False
            becomes = orjson.dumps(changed.as_dict())
            if await compare_and_set(keys=[key], args=[was, becomes, _KEPT_SECONDS]):
                return changed, True
        return circuit, False
