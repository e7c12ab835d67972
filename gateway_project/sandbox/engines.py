"""The engines that run when no URL names another: PostgreSQL and Valkey, embedded.

Several processes may use them at once (``make run`` and a management command beside it): the
first starts them, the last one stops them. Each holds a lock that dies with it, so a killed
process never counts as a user.
"""

from __future__ import annotations

import atexit
import fcntl
import os
from contextlib import nullcontext
from typing import TYPE_CHECKING

from gateway_project.sandbox.postgres import Postgres
from gateway_project.sandbox.processes import locked
from gateway_project.sandbox.store import Store
from gateway_project.sandbox.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import TextIO


def is_set(name: str) -> bool:
    """Say whether a setting has a value, in ``NAME`` or in the file that ``NAME_FILE`` names."""
    return bool(os.environ.get(name) or os.environ.get(f"{name}_FILE"))


class Engines:
    """PostgreSQL and Valkey over one data directory.

    Args:
        data: the data directory; made when missing.
        bound: stop the engines when this process is killed.
        hasty: give up safety against a crash of the machine for speed.
    """

    def __init__(self, data: Path, *, bound: bool = True, hasty: bool = False) -> None:
        store = Store(data)
        (data / "logs").mkdir(exist_ok=True)
        self._data = data
        self._used: list[Postgres | Valkey] = []
        self._known = (
            Postgres(data, store, bound=bound, hasty=hasty),
            Valkey(data, store, bound=bound),
        )
        self._users: TextIO | None = None

    def start(self, step: Callable[[str], AbstractContextManager[object]] = nullcontext) -> None:
        """Start each engine that no URL replaces and put its URL into the environment.

        Args:
            step: entered with a text for people around the start of each.

        Raises:
            StartFailed: an engine does not come up.
        """
        missing = [engine for engine in self._known if not is_set(engine.variable)]
        if not missing:
            return
        with locked(self._data / "engines.lock"):
            self._users = (self._data / "engines.users").open("a")
            fcntl.flock(self._users, fcntl.LOCK_SH)
            for engine in missing:
                with step(f"starting {engine.name}"):
                    self._used.append(engine)
                    engine.start()
                os.environ[engine.variable] = engine.url

    def stop(self) -> None:
        """Stop the engines, unless another process uses them."""
        if self._users is None:
            return
        with locked(self._data / "engines.lock"), self._users:
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            for engine in reversed(self._used):
                engine.stop()
        for engine in self._used:
            os.environ.pop(engine.variable, None)
        self._users = None

    def ended(self) -> Postgres | Valkey | None:
        """Return an engine that this object started and that is gone, if any."""
        return next((engine for engine in self._used if engine.exit_code() is not None), None)

    def start_for_this_process(self) -> None:
        """Start what is missing and stop it when this process ends."""
        atexit.register(self.stop)
        self.start()
