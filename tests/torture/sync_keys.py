"""``sync_keys`` brings ten thousand keys together in little time of its own.

    python -m tests.torture.sync_keys [--keys 10000] [--most 120]

LiteLLM's stand-in is told of all keys, is asked again with nothing to do, hears of a changed plan,
and loses a tenth. Of each run the table has what it took and whose processors did it: the stand-in
is as slow as it is, so what counts is the command's own time and PostgreSQL's.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx
import psutil

from tests.torture.audit import Outcome
from tests.torture.ground import ground

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.torture.ground import Ground

_DELETED_AT_ONCE: Final = 100
_LOSES_ONE_IN: Final = 10
_MAKE_ROWS: Final = """
from uuid import uuid4
from accounts.models import User
from llm_proxy.models import VirtualKey
users = [User(pk=uuid4(), username=str(number)) for number in range({count})]
User.objects.bulk_create(users, batch_size=1000)
kind = VirtualKey.Kind.MANAGED
keys = [VirtualKey.chosen(user.pk, kind) for user in users]
VirtualKey.objects.bulk_create(keys, batch_size=1000)
"""
_CHANGE_PLAN: Final = "from accounts.models import Plan; Plan.objects.update(budget=3)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.sync_keys")
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--most", type=float, default=120, help="own seconds that a run may take")
    options = parser.parse_args(arguments)
    outcome = Outcome()
    with ground() as world:
        _run(world, options, outcome)
    sys.stdout.write(f"{outcome.table()}\n")
    return 1 if outcome.failures else 0


def _run(world: Ground, options: argparse.Namespace, outcome: Outcome) -> None:
    _python(world, _MAKE_ROWS.format(count=options.keys))
    _sync(world, options, outcome, "make all", f"make {options.keys}, change 0")
    _sync(world, options, outcome, "nothing to do", "make 0, change 0")
    _python(world, _CHANGE_PLAN)
    _sync(world, options, outcome, "another plan", f"make 0, change {options.keys}")
    lost = _lose(world, options.keys // _LOSES_ONE_IN)
    _sync(world, options, outcome, "a tenth lost", f"make {lost}, change 0")
    outcome.want("keys that LiteLLM has", len(_hashes(world, options.keys)), options.keys)


def _sync(
    world: Ground, options: argparse.Namespace, outcome: Outcome, what: str, told: str
) -> None:
    """Run the command, and add its figures."""
    with _measured(world) as spent:
        done = world.manage("sync_keys")
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    if done.returncode or not last.startswith(told):
        outcome.failures.append(f"{what}: {last or done.stderr}, not {told}")
    own = spent["the command"] + spent["PostgreSQL"]
    outcome.note(f"{what}: own seconds", round(own, 1))
    for whose, seconds in spent.items():
        outcome.note(f"{what}:   {whose}", round(seconds, 1))
    if own > options.most:
        outcome.failures.append(f"{what}: {own:.1f} own seconds, {options.most} are promised")


@contextmanager
def _measured(world: Ground) -> Iterator[dict[str, float]]:
    """Count seconds of processors, by whose they are, and those of the clock."""
    found: dict[str, float] = {}
    began, before = time.monotonic(), _processors(world)
    yield found
    found |= {whose: now - before[whose] for whose, now in _processors(world).items()}
    found["by the clock"] = time.monotonic() - began


def _processors(world: Ground) -> dict[str, float]:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    pid = int((world.data / "postgres" / "postmaster.pid").read_text().split()[0])
    here = psutil.Process().children(recursive=True)
    stand_ins = [one for one in here if "gateway_project.sandbox" in one.cmdline()]
    return {
        "the command": ended.ru_utime + ended.ru_stime,
        "PostgreSQL": _seconds_of(psutil.Process(pid)),
        "the stand-ins": sum(_seconds_of(one) for one in stand_ins),
    }


def _seconds_of(process: psutil.Process) -> float:
    """Return what a process and its children have used, those that have ended included."""
    times = process.cpu_times()
    ended = times.children_user + times.children_system
    living = (child.cpu_times() for child in process.children())
    return sum(one.user + one.system for one in (times, *living)) + float(ended)


def _python(world: Ground, code: str) -> None:
    world.manage("shell", "--no-imports", "-v0", "-c", code).check_returncode()


def _lose(world: Ground, count: int) -> int:
    """Have LiteLLM delete so many keys."""
    hashes = _hashes(world, count)[:count]
    for first in range(0, count, _DELETED_AT_ONCE):
        wish = {"keys": hashes[first : first + _DELETED_AT_ONCE]}
        _ask(world, "POST", "/key/delete", json=wish)
    return len(hashes)


def _hashes(world: Ground, most: int) -> list[str]:
    """Return the keys that LiteLLM has, as many as wanted or a page more."""
    found: list[str] = []
    page, pages = 1, 1
    while page <= pages and len(found) <= most:
        answer = _ask(world, "GET", f"/key/list?size=100&page={page}").json()
        found += answer["keys"]
        page, pages = page + 1, answer["total_pages"]
    return found


def _ask(world: Ground, method: str, target: str, **body: object) -> httpx.Response:
    url = f"{world.settings['LITELLM_BASE_URL']}{target}"
    headers = {"authorization": f"Bearer {world.settings['LITELLM_MASTER_KEY']}"}
    answer = httpx.request(method, url, headers=headers, timeout=60, **body)  # type: ignore[arg-type]
    return answer.raise_for_status()


if __name__ == "__main__":
    sys.exit(main())
