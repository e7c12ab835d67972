"""What a torture stands on: engines that may be stopped, stand-ins, and the gateway's processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import psutil

from gateway_project.sandbox.environment import RunRecord
from gateway_project.sandbox.postgres import Postgres
from gateway_project.sandbox.processes import launch, stop
from gateway_project.sandbox.store import Store, free_port
from gateway_project.sandbox.valkey import Valkey
from tests.end_to_end.gateway_process import no_settings
from tests.serving import CHECKOUT, start_gateway, wait_until_it_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 60
_TOKEN_SECONDS: Final = 24 * 3600


@dataclass(slots=True)
class Ground:
    """A running world.

    Attributes:
        data: its directory.
        settings: what the gateway gets.
        url: of the gateway, without a path.
    """

    data: Path
    postgres: Postgres
    settings: dict[str, str]
    url: str = ""
    supervisor: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def spool(self) -> Path:
        """Where events wait."""
        return Path(self.settings["AUDIT_SPOOL_DIR"])

    def manage(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a management command beside the gateway."""
        return subprocess.run(
            [sys.executable, "manage.py", *command],
            check=False,
            cwd=CHECKOUT,
            env=self.settings,
            capture_output=True,
            text=True,
        )

    def workers(self) -> list[psutil.Process]:
        """Return the gateway's workers that run now."""
        assert self.supervisor is not None
        children = psutil.Process(self.supervisor.pid).children()
        return [child for child in children if _is_worker(child)]

    def serve(self, workers: int) -> None:
        """Start the gateway as in production, and return when it answers."""
        port, log = free_port(), self.data / "gateway.log"
        self.url = f"http://127.0.0.1:{port}"
        options = ("--workers", str(workers))
        self.supervisor = start_gateway(port, *options, settings=self.settings, log=log)
        wait_until_it_answers(port, self.supervisor, log)

    def end(self) -> None:
        """End the gateway as an orchestrator does."""
        if self.supervisor is not None:
            family = [*psutil.Process(self.supervisor.pid).children(recursive=True)]
            stop(self.supervisor, seconds=_STOP_SECONDS)
            for survivor in psutil.wait_procs(family, timeout=5)[1]:
                survivor.kill()
            self.supervisor = None

    def token(self, email: str) -> str:
        """Sign somebody in."""
        wish = {"email": email, "claims": {"exp": int(time.time()) + _TOKEN_SECONDS}}
        answer = httpx.post(f"{self.settings['SUPABASE_URL']}/_sandbox/mint", json=wish)
        return str(answer.raise_for_status().json()["access_token"])


@contextmanager
def ground() -> Iterator[Ground]:
    """Start engines and stand-ins, with an empty database; leave nothing of it afterwards."""
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-")))
        data.chmod(0o755)
        store = Store(data)
        (data / "logs").mkdir()
        postgres = Postgres(data, store, bound=True, hasty=True)
        valkey = Valkey(data, store, bound=True)
        for engine in (postgres, valkey):
            stack.callback(engine.stop)
            engine.start()
        settings = {
            **no_settings(),
            "PATH": os.environ["PATH"],
            "HOME": str(data),
            "SANDBOX_DIR": str(data),
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
            "LOG_FORMAT": "json",
        }
        child = launch(
            [*(sys.executable, "-m", "gateway_project.sandbox"), "--without-gateway"],
            log=data / "logs" / "stand-ins-run.log",
            env=settings,
        )
        stack.callback(stop, child, signal.SIGINT)
        settings |= _published(data, child)
        world = Ground(data, postgres, settings)
        world.manage("migrate", "--verbosity=0").check_returncode()
        stack.callback(world.end)
        yield world


def _published(data: Path, child: subprocess.Popen[bytes]) -> dict[str, str]:
    """Return the settings that the stand-ins' run has made, once it has."""
    deadline = time.monotonic() + _START_SECONDS
    record = RunRecord(data)
    found: dict[str, Any] | None = None
    while found is None and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
        found = record.read()
    if found is None:
        raise RuntimeError("The stand-ins did not start.")
    return dict(found["environment"])


def _is_worker(process: psutil.Process) -> bool:
    """Tell a worker from Python's own helper processes."""
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False
