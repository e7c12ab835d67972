"""What one proxied chat request costs the gateway in CPU, next to a bare relay in the same run.

    python -m tests.end_to_end.benchmark [ROUNDS]

The relay runs under plain uvicorn, the gateway under its own server with every step on, over
embedded PostgreSQL and Valkey; both in one process, before the same fast stub, loaded in turns by a
process of its own. CPU is user and system time of the measured process.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import httpx
import psutil

from gateway_project.sandbox import supabase
from gateway_project.sandbox.engines import Engines
from gateway_project.sandbox.serving import LoopbackServer
from gateway_project.sandbox.store import free_port
from tests.end_to_end.people import Supabase
from tests.serving import CHECKOUT, serve_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_STUB: Final = CHECKOUT / "tests" / "upstreams" / "fast_stub.py"
_MICROSECONDS: Final = 1_000_000
_ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of request, as the load client takes it."""

    title: str
    model: str
    count: int
    connections: int
    extra: tuple[str, ...] = ()


LOADS: Final = (
    Load("chat request", "fast", 2000, 16),
    Load("stream of 100 events", "s-n100", 200, 8, ("stream",)),
)


@dataclass(frozen=True, slots=True)
class Target:
    """A relay under measurement; ``costs`` are CPU microseconds per request of each round."""

    title: str
    url: str
    process: psutil.Process
    token: str
    costs: dict[str, list[float]] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, load: Load) -> None:
        """Load the target once and note what that cost."""
        before = self.process.cpu_times()
        seconds = self._load(load)
        after = self.process.cpu_times()
        used = after.user + after.system - before.user - before.system
        self.costs.setdefault(load.title, []).append(used * _MICROSECONDS / load.count)
        self.rates.setdefault(load.title, []).append(load.count / seconds)

    def warm_up(self, load: Load) -> None:
        """Fill caches and pools, and fail early where something is wrong."""
        self._load(Load(load.title, load.model, 100, 4, load.extra))

    def _load(self, load: Load) -> float:
        program = [sys.executable, "-m", "tests.end_to_end.load_client", self.url, self.token]
        numbers = [load.model, str(load.count), str(load.connections)]
        done = subprocess.run([*program, *numbers, *load.extra], capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        seconds: float = json.loads(done.stdout)["seconds"]
        return seconds


@contextmanager
def running(
    command: list[str], url: str, environment: Mapping[str, str]
) -> Iterator[psutil.Process]:
    """Run a server until the end of the block; it is ready when the URL answers anything."""
    with tempfile.TemporaryFile() as log:
        settings = {**os.environ, **environment}
        settings.pop("PYTHONDONTWRITEBYTECODE", None)
        child = subprocess.Popen(command, env=settings, cwd=CHECKOUT, stdout=log, stderr=log)
        try:
            _wait_for(url, child)
            yield psutil.Process(child.pid)
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode()[-3000:])
            raise
        finally:
            child.terminate()
            child.wait()


def _wait_for(url: str, child: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            httpx.get(url, timeout=10)
        except httpx.TransportError:
            if child.poll() is not None:
                raise RuntimeError(f"{child.args!r} has ended") from None
            time.sleep(0.05)
        else:
            return


@contextmanager
def targets(data: Path) -> Iterator[list[Target]]:
    """Run the stub, the bare relay and the gateway."""
    with ExitStack() as stack:
        stub_port = free_port()
        stub = f"http://127.0.0.1:{stub_port}"
        command = [sys.executable, str(_STUB), str(stub_port)]
        stack.enter_context(running(command, f"{stub}/v1/models", {}))
        port = free_port()
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        options = ["--port", str(port), "--no-access-log", "--log-level", "warning"]
        relay = "tests.end_to_end.bare_relay:application"
        command = [sys.executable, "-m", "uvicorn", relay, *options]
        bare = stack.enter_context(running(command, url, {"UPSTREAM": stub}))
        port = free_port()
        environment, token = _gateway_environment(stack, data, stub)
        health = f"http://127.0.0.1:{port}/api/v1/system/health"
        gateway = stack.enter_context(running(serve_command(port), health, environment))
        gateway_url = f"http://127.0.0.1:{port}/api/v1/llm/v1/chat/completions"
        yield [Target("bare relay", url, bare, "-"), Target("gateway", gateway_url, gateway, token)]


def _gateway_environment(stack: ExitStack, data: Path, stub: str) -> tuple[dict[str, str], str]:
    """Start what the gateway stands on and return its settings and a user's token."""
    engines = Engines(data)
    engines.start()
    stack.callback(engines.stop)
    sign_in = stack.enter_context(LoopbackServer())
    sign_in.start(supabase.create_app(url=sign_in.url))
    environment = {
        "SUPABASE_URL": sign_in.url,
        "LITELLM_BASE_URL": stub,
        "LITELLM_MASTER_KEY": "sk-benchmark",
        "LETTA_BASE_URL": stub,
        "LETTA_API_KEY": "none",
        "DJANGO_SECRET_KEY": secrets.token_urlsafe(50),
        "LOG_FORMAT": "json",
        "RATE_LIMIT_LLM": "100000000/h:1000000:1000",  # counted, and never refused
        "AUDIT_SPOOL_DIR": str(data / "spool"),
        "SHUTDOWN_NOTICE_SECONDS": "0",
    }
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=CHECKOUT, env={**os.environ, **environment}, check=True)
    return environment, Supabase(sign_in.url).sign_up("alice").token


def table(measured: list[Target]) -> str:
    """Return the result as text; on a busy machine the best round says more than the median."""
    bare, gateway = measured
    lines = [f"{'':<40}{bare.title:>12}{gateway.title:>12}{'ratio':>8}"]
    for load in LOADS:
        rows: list[tuple[str, Callable[[list[float]], float], str]] = [
            ("CPU µs, median", median, "costs"),
            ("CPU µs, best round", min, "costs"),
            ("per second, median", median, "rates"),
        ]
        for title, choose, what in rows:
            low, high = (choose(getattr(target, what)[load.title]) for target in measured)
            label = f"{load.title}: {title}"
            lines.append(f"{label:<40}{low:>12.0f}{high:>12.0f}{high / low:>8.2f}")
    return "\n".join(lines)


def main() -> None:
    """Measure in turns and print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else _ROUNDS
    with tempfile.TemporaryDirectory() as folder, targets(Path(folder)) as measured:
        for load in LOADS:
            for target in measured:
                target.warm_up(load)
            for _ in range(rounds):
                for target in measured:
                    target.measure(load)
        sys.stdout.write(table(measured) + "\n")


if __name__ == "__main__":
    main()
