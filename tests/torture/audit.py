"""Every answered request has exactly one event, whatever is done to workers and PostgreSQL.

    python -m tests.torture.audit [--requests 20000] [--outage 60] [--workers 2] [--seed N]

Requests come over many connections, to the real server over stand-ins, while workers are killed at
random and PostgreSQL is stopped once. Afterwards each answer has its event, and the chain is good.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import psycopg

from tests.serving import CHECKOUT
from tests.torture.ground import ground

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.torture.ground import Ground

_CONNECTIONS: Final = 24
_USERS: Final = 200
_MOST_SECONDS: Final = 1500
_KILL_PAUSE_SECONDS: Final = (4.0, 12.0)
_SHIP_SECONDS: Final = 60
# The outage begins when this part of the load is done.
_OUTAGE_AFTER: Final = 0.3


@dataclass(slots=True)
class Outcome:
    """What came out.

    Attributes:
        rows: of the table.
        failures: promises that were broken.
    """

    rows: list[tuple[str, object]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def note(self, what: str, figure: object) -> None:
        """Add a row."""
        self.rows.append((what, figure))

    def want(self, what: str, figure: int, wanted: int) -> None:
        """Add a row that has to have a figure."""
        self.note(what, figure)
        if figure != wanted:
            self.failures.append(f"{what}: {figure} instead of {wanted}")

    def table(self) -> str:
        """Return it as text."""
        width = max(len(what) for what, _ in self.rows)
        lines = [f"{what:<{width}}  {figure:>12}" for what, figure in self.rows]
        return "\n".join([*lines, *(f"FAILED {failure}" for failure in self.failures)])


@dataclass(slots=True)
class Harm:
    """What was done to the gateway while it served."""

    kills: int = 0
    outage_seconds: float = 0.0
    answered_in_outage: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and return the exit status."""
    options = _parser().parse_args(arguments)
    outcome = Outcome()
    with ground() as world:
        _run(world, options, outcome)
    sys.stdout.write(f"{outcome.table()}\n")
    return 1 if outcome.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.audit", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--outage", type=float, default=60, help="seconds without PostgreSQL")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    return parser


def _run(world: Ground, options: argparse.Namespace, outcome: Outcome) -> None:
    world.serve(options.workers)
    output = world.data / "answers"
    output.touch()
    wish = {
        "url": world.url,
        "tokens": [world.token(f"user-{number}@example.com") for number in range(_USERS)],
        "requests": options.requests,
        "connections": _CONNECTIONS,
        "seconds": _MOST_SECONDS,
        "output": str(output),
    }
    began = time.monotonic()
    load = subprocess.Popen(
        [sys.executable, "-m", "tests.torture.load"],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert load.stdin is not None
    load.stdin.write(json.dumps(wish).encode())
    load.stdin.close()
    try:
        harm = _harm(world, load, output, options)
    finally:
        load.kill()
    assert load.stdout is not None
    told = json.loads(load.stdout.read() or "{}")
    seconds = time.monotonic() - began
    statuses = _answers(output)
    outcome.note("seed", options.seed)
    outcome.want("requests answered", min(len(statuses), options.requests), options.requests)
    outcome.note("answers per second", round(len(statuses) / seconds))
    outcome.note("requests broken off by kills", told.get("broken", "?"))
    for status, count in sorted(Counter(statuses.values()).items()):
        outcome.note(f"answers with status {status}", count)
    outcome.note("workers killed", harm.kills)
    outcome.note("seconds without PostgreSQL", round(harm.outage_seconds, 1))
    outcome.note("answers in that time", harm.answered_in_outage)
    _check(world, statuses, outcome)


def _harm(
    world: Ground, load: subprocess.Popen[bytes], output: Path, options: argparse.Namespace
) -> Harm:
    """Kill and stop things until the load has ended."""
    chance = random.Random(options.seed)  # noqa: S311 - to be had again
    harm = Harm()
    kill_at = time.monotonic() + chance.uniform(*_KILL_PAUSE_SECONDS)
    back_at = counted = 0.0
    while load.poll() is None:
        time.sleep(0.1)
        now = time.monotonic()
        if now >= kill_at:
            harm.kills += _kill_one(world, chance)
            kill_at = now + chance.uniform(*_KILL_PAUSE_SECONDS)
        if not back_at and _lines(output) >= options.requests * _OUTAGE_AFTER:
            counted = _lines(output)
            world.postgres.stop()
            back_at = now + options.outage
        if back_at and not harm.outage_seconds and now >= back_at:
            harm.answered_in_outage = int(_lines(output) - counted)
            world.postgres.start()
            harm.outage_seconds = time.monotonic() - back_at + options.outage
    return harm


def _kill_one(world: Ground, chance: random.Random) -> int:
    workers = world.workers()
    if not workers:
        return 0
    try:
        chance.choice(workers).kill()
    except psutil.NoSuchProcess:
        return 0
    return 1


def _check(world: Ground, statuses: dict[str, int], outcome: Outcome) -> None:
    left = _wait_for_the_spool(world)
    world.end()
    outcome.want("spool files left", left, 0)
    with psycopg.connect(world.settings["DATABASE_URL"]) as database:
        rows = database.execute(
            "SELECT request_id, status FROM audit_auditevent "
            "WHERE status IS NOT NULL AND request_id LIKE 'torture-%'"
        ).fetchall()
    events = Counter(request_id for request_id, _ in rows)
    told: dict[str, int] = dict(rows)
    outcome.note("events of these requests", len(rows))
    outcome.want("answers without an event", len(set(statuses) - set(events)), 0)
    doubled = sum(count > 1 for count in events.values())
    outcome.want("requests with several events", doubled, 0)
    wrong = sum(1 for name, status in statuses.items() if told.get(name, status) != status)
    outcome.want("events with another status than the answer", wrong, 0)
    _check_chain(world, outcome)


def _check_chain(world: Ground, outcome: Outcome) -> None:
    began = time.monotonic()
    verified = world.manage("verify_audit")
    outcome.note("seconds to verify the chain", round(time.monotonic() - began, 1))
    outcome.note("the chain", verified.stdout.split(", signed")[0] or "bad")
    outcome.want("exit status of verify_audit", verified.returncode, 0)
    proved = "nothing was cut off up to batch" in verified.stdout
    outcome.want("its end is proved by a head that was kept", int(proved), 1)
    if verified.returncode:
        outcome.failures.append(f"{verified.stdout}{verified.stderr}")
    export = str(world.data / "audit.jsonl")
    exported = world.manage("export_audit", "--output", export)
    outcome.want("exit status of export_audit", exported.returncode, 0)
    verified = world.manage("verify_audit", "--export", export)
    outcome.want("exit status of verify_audit --export", verified.returncode, 0)


def _wait_for_the_spool(world: Ground) -> int:
    """Return how many files the workers have not shipped a minute after the load."""
    deadline = time.monotonic() + _SHIP_SECONDS
    while (left := len(list(world.spool.glob("*.jsonl")))) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def _lines(path: Path) -> int:
    return path.stat().st_size // len("torture-00000000 200\n")


def _answers(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {name: int(status) for name, status in lines}


if __name__ == "__main__":
    sys.exit(main())
