"""The engines that run when no URL names another: PostgreSQL and Valkey, embedded.

Several processes may use them at once (``make run`` and a management command beside it): the
first starts them, the last one stops them. Each holds a lock that dies with it, so a killed
process never counts as a user.
"""

from __future__ import annotations

import atexit
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway_project.sandbox.postgres import Postgres
from gateway_project.sandbox.processes import locked
from gateway_project.sandbox.store import Store
from gateway_project.sandbox.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

_CHECKOUT: Final = Path(__file__).resolve().parents[2]


def data_directory() -> Path:
    """Return where the sandbox keeps everything: ``SANDBOX_DIR`` or ``.local`` of the checkout."""
    return Path(os.environ.get("SANDBOX_DIR") or _CHECKOUT / ".local").resolve()


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

    def start(self) -> Iterator[Postgres | Valkey]:
        """Start each engine that no URL replaces and put its URL into the environment.

        Yields:
            each engine before it is started, so that a caller can say what it waits for.

        Raises:
            StartFailed: an engine does not come up.
        """
        missing = [engine for engine in self._known if not os.environ.get(engine.variable)]
        with locked(self._data / "engines.lock"):
            if missing:
                self._users = (self._data / "engines.users").open("a")
                fcntl.flock(self._users, fcntl.LOCK_SH)
            for engine in missing:
                yield engine
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


def ensure() -> None:
    """Have the engines for the rest of this process, for management commands."""
    engines = Engines(data_directory(), bound=False)
    atexit.register(engines.stop)
    for _ in engines.start():
        pass
