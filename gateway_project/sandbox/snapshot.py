"""What a stand-in holds, kept in a JSON file between runs."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_SECONDS_BETWEEN_WRITES: Final = 0.5


class Keepable(Protocol):
    """A state that can be written down and read back."""

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""

    def load(self, values: dict[str, Any]) -> None:
        """Take over what ``as_dict`` once returned."""


class Snapshot:
    """Reads a state at the start and writes it down, when changed, twice a second and at the end.

    Args:
        state: what to keep.
        path: the file, mode 600; without it nothing is kept.
    """

    def __init__(self, state: Keepable, path: Path | None) -> None:
        self._state = state
        self._path = path
        self._written = b""
        if path and path.exists():
            self._written = path.read_bytes()
            state.load(orjson.loads(self._written))

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Keep the state while the application runs; this is a Starlette lifespan."""
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._write_again_and_again())
            yield
            writer.cancel()
        self.write()

    def write(self) -> None:
        """Write the state down, unless the file says the same already."""
        if self._path is None:
            return
        content = orjson.dumps(self._state.as_dict(), option=orjson.OPT_INDENT_2)
        if content == self._written:
            return
        new = self._path.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        new.replace(self._path)
        self._written = content

    async def _write_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_WRITES)
            self.write()
