"""The gateway's environment in the sandbox: what is set stays, what is missing is filled in."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import environ

from gateway_project.sandbox.engines import Engines, is_set
from gateway_project.sandbox.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

CHECKOUT: Final = Path(__file__).resolve().parents[2]


def data_directory() -> Path:
    """Return where the sandbox keeps everything: ``SANDBOX_DIR`` or ``.local`` of the checkout."""
    return Path(os.environ.get("SANDBOX_DIR") or CHECKOUT / ".local").resolve()


def read_dotenv() -> None:
    """Add what stands in ``.env`` of the checkout and not in the environment."""
    environ.Env.read_env(str(CHECKOUT / ".env"), overwrite=False)


def fill_in(values: Mapping[str, str]) -> None:
    """Set the variables that are absent or empty."""
    os.environ |= {name: value for name, value in values.items() if not is_set(name)}


def own_settings(data: Path, store: Store) -> dict[str, str]:
    """Return the settings that the gateway itself needs, with secrets that stay the same."""
    return {
        "ENVIRONMENT": "development",
        "DJANGO_SECRET_KEY": store.secret("django_secret_key", lambda: secrets.token_urlsafe(50)),
        "ENCRYPTION_KEYS": store.secret("encryption_key", lambda: secrets.token_hex(32)),
        "AGENT_SECRET_MASTER_KEY": store.secret("agent_secret_key", lambda: secrets.token_hex(32)),
        "AUDIT_SIGNING_KEY": store.secret("audit_signing_key", lambda: secrets.token_hex(32)),
        "AUDIT_SPOOL_DIR": str(data / "spool"),
    }


class RunRecord:
    """Says that the sandbox runs, and with which environment, in ``running.json``.

    The file counts only while its lock is held, and a lock dies with its holder.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / "running.json"
        self._held: TextIO | None = None

    def claim(self) -> bool:
        """Take the data directory for this process; False where another run has it."""
        file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        file.truncate()
        self._held = file
        return True

    def publish(self, environment: Mapping[str, str], stand_ins: Mapping[str, str]) -> None:
        """Write down the environment and the addresses of the stand-ins, by name."""
        assert self._held is not None, "claim first"  # noqa: S101
        json.dump({"environment": dict(environment), "stand_ins": dict(stand_ins)}, self._held)
        self._held.flush()

    def withdraw(self) -> None:
        """Give the data directory free."""
        if self._held is not None:
            self._held.truncate(0)
            self._held.close()

    def read(self) -> dict[str, Any] | None:
        """Return what a run that is alive has published, if one is."""
        if not self._path.exists():
            return None
        with self._path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                published: dict[str, Any] | None = json.loads(file.read() or "null")
                return published
        return None


def prepare_for_command(*, with_engines: bool) -> None:
    """Have settings for a management command, and engines that stop after it.

    A run that is alive lends its whole environment. Otherwise the stand-ins' addresses are those
    of the last run, where nothing answers.

    Args:
        with_engines: start PostgreSQL and Valkey, when no run is alive and no URL names others.
    """
    read_dotenv()
    if os.environ.get("ENVIRONMENT") == "production":
        return
    data = data_directory()
    running = RunRecord(data).read()
    if running is not None:
        fill_in(running["environment"])
        return
    from gateway_project.sandbox.stand_ins import STAND_INS  # noqa: PLC0415 - costs a moment

    store = Store(data)
    fill_in(own_settings(data, store))
    for stand_in in STAND_INS:
        if stand_in.is_wanted:
            settings = stand_in.environment(store.address(stand_in.name), store)
            fill_in(settings)
            os.environ[stand_in.variable] = settings[stand_in.variable]
    if with_engines:
        Engines(data, bound=False).start_for_this_process()
