"""Replicas are restarted one after the other, and no request is lost.

    python -m tests.torture.rolling_restart [--rounds 2] [--connections 24] [--workers 1]

Requests and streams come without a pause through balancers that look at readiness: of connections,
and of requests. Each has to be answered whole: a stream to its last event, nothing with an error.

One thing is told from a loss: HTTP/1.1 can't keep a kept connection from being closed while a
request is on its way to it. Such a request has reached no replica (their logs don't have it), may
be sent again, and is counted as closed under it; clients repeat idempotent ones by themselves.
Replicas that end as they should make this so rare that none is expected here, either.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from gateway_core.tasks import spawn
from gateway_project.sandbox.store import free_port
from tests.serving import start_gateway
from tests.torture.audit import Outcome
from tests.torture.balancer import Balancer, RequestBalancer
from tests.torture.ground import ground
from tests.torture.rolling_load import Load

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from tests.torture.ground import Ground

_REPLICAS: Final = 2
_USERS: Final = 24
_NOTICE_SECONDS: Final = 2
_DRAIN_SECONDS: Final = 30
_START_SECONDS: Final = 60


class Replica:
    """One server of the gateway, which may be restarted."""

    def __init__(self, world: Ground, number: int, workers: int) -> None:
        self.port = free_port()
        self.log = world.data / f"replica-{number}.log"
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
        self._process = start_gateway(self.port, settings=self._settings, log=self.log)

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
    with ground() as world:
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
    ports = [replica.port for replica in replicas]
    balancers = [Balancer(ports), RequestBalancer(ports)]
    for replica in replicas:
        replica.start()
    for balancer in balancers:
        await balancer.start()
    await _until_ready(balancers, replicas)
    tokens = [world.token(f"user-{number}@example.com") for number in range(_USERS)]
    loads = [Load(balancer.url, tokens) for balancer in balancers]
    sending = [spawn(load.run(options.connections // len(loads))) for load in loads]
    began = time.monotonic()
    for number in range(options.rounds):
        for place, replica in enumerate(replicas):
            await asyncio.sleep(1)
            seconds, status = await _restart(replica, balancers, replicas)
            title = f"restart {number + 1} of replica {place + 1}"
            outcome.note(f"{title}: seconds to stop", round(seconds, 1))
            outcome.want(f"{title}: exit status", status, 0)
    for load in loads:
        load.end()
    await asyncio.gather(*sending)
    for balancer in balancers:
        await balancer.end()
    seconds = time.monotonic() - began
    logs = "".join(replica.log.read_text(errors="replace") for replica in replicas)
    for title, load, balancer in zip(("connections", "requests"), loads, balancers, strict=True):
        _tell(f"balanced by {title}", load, balancer, load.judge(logs), outcome)
    total = sum(sum(load.ends.values()) for load in loads)
    outcome.note("requests a second", round(total / seconds, 1))


async def _restart(
    replica: Replica, balancers: list[Balancer], replicas: list[Replica]
) -> tuple[float, int]:
    began = time.monotonic()
    status = await replica.stop()
    seconds = time.monotonic() - began
    replica.start()
    await _until_ready(balancers, replicas)
    return seconds, status


async def _until_ready(balancers: list[Balancer], replicas: list[Replica]) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while any(len(balancer.ready) < len(replicas) for balancer in balancers):
            await asyncio.sleep(0.05)


def _tell(title: str, load: Load, balancer: Balancer, closed_under: int, outcome: Outcome) -> None:
    for kind in sorted({kind for kind, _ in load.ends}):
        outcome.note(f"{title}: {kind}, whole", load.ends[kind, "whole"])
    for (kind, end), count in sorted(load.ends.items()):
        if end != "whole":
            outcome.want(f"{title}: {kind}, {end}", count, 0)
    lost = sum(count for (_, end), count in load.ends.items() if end != "whole")
    outcome.want(f"{title}: lost", lost, 0)
    outcome.want(f"{title}: connection closed under it", closed_under, 0)
    outcome.want(f"{title}: without a replica", balancer.unserved, 0)


if __name__ == "__main__":
    sys.exit(main())
