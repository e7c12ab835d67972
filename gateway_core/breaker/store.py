"""Where circuits are kept: in Valkey, so that processes share them, or in the process alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol, TypeAlias

import orjson
from django.conf import settings

from gateway_core import valkey
from gateway_core.breaker.machine import Circuit
from gateway_core.logging import get_logger
from gateway_core.outage import Outage

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

    async def read(self, names: Collection[str]) -> dict[str, Circuit]:
        """Return circuits by their names."""
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

    async def read(self, names: Collection[str]) -> dict[str, Circuit]:
        """See ``Store.read``."""
        return {name: self._circuits.get(name, Circuit()) for name in names}

    def keep(self, circuits: Mapping[str, Circuit]) -> None:
        """Put circuits in the place of those of the same names."""
        self._circuits.update(circuits)

    async def change(self, name: str, change: Change) -> tuple[Circuit, bool]:
        """See ``Store.change``."""
        circuit = self._circuits.get(name, Circuit())
        changed = change(circuit)
        if changed is not None:
            self._circuits[name] = changed
        return changed or circuit, changed is not None


class SharedStore:
    """Circuits of all processes. While Valkey is away, each process keeps its own.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._own = OwnStore()
        self._outage = Outage(
            _log,
            away="breakers hold for each process alone",
            back="breakers hold for all processes together again",
            clock=clock,
        )

    async def read(self, names: Collection[str]) -> dict[str, Circuit]:
        """See ``Store.read``; Valkey is asked once for all of them."""
        if self._is_alone():
            return await self._own.read(names)
        try:
            found = await valkey.client().mget([_KEY.format(name) for name in names])
        except valkey.AWAY as exc:
            self._outage.begin(exc)
            return await self._own.read(names)
        self._outage.end()
        circuits = {name: _circuit(kept) for name, kept in zip(names, found, strict=True)}
        self._own.keep(circuits)
        return circuits

    async def change(self, name: str, change: Change) -> tuple[Circuit, bool]:
        """See ``Store.change``."""
        if self._is_alone():
            return await self._own.change(name, change)
        try:
            circuit, is_changed = await self._change(name, change)
        except valkey.AWAY as exc:
            self._outage.begin(exc)
            return await self._own.change(name, change)
        self._outage.end()
        self._own.keep({name: circuit})
        return circuit, is_changed

    async def _change(self, name: str, change: Change) -> tuple[Circuit, bool]:
        client, key = valkey.client(), _KEY.format(name)
        compare_and_set = client.register_script(_COMPARE_AND_SET)
        for _ in range(_TRIES):
            was = await client.get(key) or b""
            circuit = _circuit(was)
            changed = change(circuit)
            if changed is None:
                return circuit, False
            becomes = orjson.dumps(changed.as_dict())
            if await compare_and_set(keys=[key], args=[was, becomes, _KEPT_SECONDS]):
                return changed, True
        return circuit, False

    def _is_alone(self) -> bool:
        return not settings.REDIS_URL or self._outage.is_known()


def _circuit(kept: bytes | str | None) -> Circuit:
    return Circuit.from_dict(orjson.loads(kept)) if kept else Circuit()
