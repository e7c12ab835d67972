"""Replicas are restarted one after the other, and no request is lost.

    python -m tests.torture.rolling_restart [--rounds 2] [--connections 24] [--workers 1]

Requests and streams come without a pause through a balancer that looks at readiness. Each has to be
answered whole: a stream to its last event, and nothing with an error.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from gateway_core.tasks import spawn
from gateway_project.sandbox.store import free_port
from tests.serving import start_gateway
from tests.torture.audit import Outcome
from tests.torture.balancer import Balancer
from tests.torture.ground import ground

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from tests.torture.ground import Ground

_REPLICAS: Final = 2
_USERS: Final = 24
_NOTICE_SECONDS: Final = 2
_DRAIN_SECONDS: Final = 30
_START_SECONDS: Final = 60
_PAUSE_SECONDS: Final = 0.02
_CHAT: Final = "/api/v1/llm/v1/chat/completions"
# Names of kinds, with models whose answers take about three seconds, or no time.
_CALLS: Final[tuple[tuple[str, str, str, Any], ...]] = (
    ("streams", "POST", _CHAT, {"model": "stub/s-n60-d50", "stream": True}),
    ("model calls", "POST", _CHAT, {"model": "stub/s-n1"}),
    ("model calls", "POST", _CHAT, {"model": "stub/s-n1"}),
    ("reads of the control plane", "GET", "/api/v1/me", None),
    ("lists of agents", "GET", "/api/v1/letta/agents/", None),
)
_MESSAGES: Final = {"messages": [{"role": "user", "content": "hello"}]}


class Load:
    """Requests without a pause, counted by kind and end."""

    def __init__(self, url: str, tokens: list[str]) -> None:
        self._url = url
        self._tokens = tokens
        self._is_over = False
        self._number = 0
        self.ends: Counter[tuple[str, str]] = Counter()

    async def run(self, connections: int) -> None:
        """Send until ``end``, and return when all is answered."""
        async with (
            aiohttp.ClientSession(
                self._url,
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=60),
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(connections):
                group.create_task(self._send_many(session))

    def end(self) -> None:
        """Send no more."""
        self._is_over = True

    async def _send_many(self, session: aiohttp.ClientSession) -> None:
        while not self._is_over:
            self._number += 1
            kind, method, path, body = _CALLS[self._number % len(_CALLS)]
            token = self._tokens[self._number % len(self._tokens)]
            try:
                end = await _send(session, method, path, body, token)
            except (aiohttp.ClientError, TimeoutError) as exc:
                end = type(exc).__name__
            self.ends[kind, end] += 1
            await asyncio.sleep(_PAUSE_SECONDS)


async def _send(
    session: aiohttp.ClientSession, method: str, path: str, body: Any, token: str
) -> str:
    """Return how it ended: ``whole``, or what was wrong."""
    payload = None if body is None else {**body, **_MESSAGES}
    headers = {"authorization": f"Bearer {token}"}
    async with session.request(method, path, json=payload, headers=headers) as answer:
        content = await answer.read()
        if answer.status != 200:
            return f"status {answer.status}"
        is_stream = bool(body and body.get("stream"))
        if is_stream and not content.endswith(b"data: [DONE]\n\n"):
            return "a stream without its end"
        return "whole"


class Replica:
    """One server of the gateway, which may be restarted."""

    def __init__(self, world: Ground, number: int, workers: int) -> None:
        self.port = free_port()
        self._world = world
        self._log = world.data / f"replica-{number}.log"
        self._settings = {
            **world.settings,
            "AUDIT_SPOOL_DIR": str(world.data / f"spool-{number}"),
            "ENABLE_RATE_LIMITING": "false",
            "SERVER_WORKERS": str(workers),
            "SHUTDOWN_NOTICE_SECONDS": str(_NOTICE_SECONDS),
            "SHUTDOWN_DRAIN_SECONDS": str(_DRAIN_SECONDS),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it is ready some seconds later."""
        self._process = start_gateway(self.port, settings=self._settings, log=self._log)

    async def stop(self) -> int:
        """Tell it to stop, and return the status that it ends with."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self._process.wait, _DRAIN_SECONDS * 2)

    def kill(self) -> None:
        """End it if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.rolling_restart")
    parser.add_argument("--rounds", type=int, default=2, help="restarts of each replica")
    parser.add_argument("--connections", type=int, default=24)
    parser.add_argument("--workers", type=int, default=1, help="of each replica")
    options = parser.parse_args(arguments)
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        Path(folder).chmod(0o755)
        with ground(Path(folder)) as world:
            replicas = [Replica(world, number, options.workers) for number in range(_REPLICAS)]
            try:
                asyncio.run(_run(world, replicas, options, outcome))
            finally:
                for replica in replicas:
                    replica.kill()
    sys.stdout.write(f"{outcome.table()}\n")
    return 1 if outcome.failures else 0


async def _run(
    world: Ground, replicas: list[Replica], options: argparse.Namespace, outcome: Outcome
) -> None:
    balancer = Balancer([replica.port for replica in replicas])
    for replica in replicas:
        replica.start()
    await balancer.start()
    await _until_ready(balancer, replicas)
    tokens = [world.token(f"user-{number}@example.com") for number in range(_USERS)]
    load = Load(balancer.url, tokens)
    sending = spawn(load.run(options.connections))
    began = time.monotonic()
    for number in range(options.rounds):
        for place, replica in enumerate(replicas):
            await asyncio.sleep(1)
            seconds, status = await _restart(replica, balancer, replicas)
            title = f"restart {number + 1} of replica {place + 1}"
            outcome.note(f"{title}: seconds to stop", round(seconds, 1))
            outcome.want(f"{title}: exit status", status, 0)
    load.end()
    await sending
    _tell(load, balancer, time.monotonic() - began, outcome)


async def _restart(
    replica: Replica, balancer: Balancer, replicas: list[Replica]
) -> tuple[float, int]:
    began = time.monotonic()
    status = await replica.stop()
    seconds = time.monotonic() - began
    replica.start()
    await _until_ready(balancer, replicas)
    return seconds, status


async def _until_ready(balancer: Balancer, replicas: list[Replica]) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while len(balancer.ready) < len(replicas):
            await asyncio.sleep(0.05)


def _tell(load: Load, balancer: Balancer, seconds: float, outcome: Outcome) -> None:
    for kind in sorted({kind for kind, _ in load.ends}):
        outcome.note(f"{kind}, whole", load.ends[kind, "whole"])
    for (kind, end), count in sorted(load.ends.items()):
        if end != "whole":
            outcome.want(f"{kind}, {end}", count, 0)
    outcome.note("requests a second", round(sum(load.ends.values()) / seconds, 1))
    lost = sum(count for (_, end), count in load.ends.items() if end != "whole")
    outcome.want("lost", lost, 0)
    outcome.want("connections without a replica", balancer.unserved, 0)


if __name__ == "__main__":
    sys.exit(main())
