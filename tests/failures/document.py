"""Writes docs/FAILURES.md: ``python -m tests.failures.document``."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.failures.promises import HEALTHY, PROMISES
from tests.failures.wire import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.failures.asking import Kind
    from tests.failures.promises import Case, Promise

PATH: Final = Path(__file__).resolve().parents[2] / "docs" / "FAILURES.md"
_NAMES: Final = {
    "postgres": "PostgreSQL",
    "valkey": "Valkey",
    "postgres and valkey": "PostgreSQL and Valkey at once",
    "key server": "The key server (Supabase's JWKS)",
    "supabase": "Supabase's API",
    "letta": "Letta",
    "litellm": "LiteLLM",
    "ams": "A remote AMS",
}
_WAYS: Final = {
    Fault.DOWN: "refuses connections",
    Fault.SLOW: "answers late",
    Fault.HANGING: "takes requests and says nothing",
    Fault.RESET: "resets connections in its answers",
    Fault.GARBAGE: "answers rubbish",
    Fault.OPEN: "has failed until its circuit opened",
}
_HEAD: Final = """\
# When something fails

What the gateway answers when what stands behind it fails, how soon, what becomes of data, and how
soon all is well again by itself, without a restart. `make torture ARGS=failures` brings each case
about in front of a running gateway and compares; `make failures` does so and writes this page from
`tests/failures/promises.py`.

- A request that is in no line of a case is answered as ever. None is answered 500, and none later
  than the table says: in the sum of these settings of [env.example](../env.example), in brackets
  by their defaults; else in a second.
- "A new user" is one whom the process has not met yet, or not for `CACHE_TTL_JWT` seconds; the
  others are known to it.
- Nobody who is suspended, signed out or has a revoked key gets in by any of these failures. While
  Valkey is away, what one process decides others find out within 10 s.
- Every request leaves one audit event if it was known who asked, and none otherwise: nobody asks
  for /ready, 401 is for those who prove nothing, and without the key server nobody can. Without
  PostgreSQL nobody knows whose a key, an agent's secret or a session of the admin is. Every
  answered model call leaves one usage record, and an agent that was ordered with an
  `Idempotency-Key` is made once, however often the order is repeated.
- Without PostgreSQL and Valkey at once nobody is known for longer than some seconds; the table has
  what is answered from then on.
- The log says once that PostgreSQL, Valkey or the key server is away, and once that it is back, for
  each of the things that are shared over Valkey. Of an upstream it says what became of each
  request, and when its circuit opens and closes.
- A stream whose chunks turn to rubbish half-way ends only after `UPSTREAM_IDLE_TIMEOUT`: aiohttp
  (3.14.5) closes the connection then, but tells nobody who reads the body.

| what | how it fails | who notices | answer | within | back within | data |
|---|---|---|---|---|---|---|
"""


def document() -> str:
    """Return the page."""
    lines = [
        line
        for service, cases in PROMISES.items()
        for faults, case in _alike(cases)
        for line in _lines(service, faults, case)
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _alike(cases: Mapping[Fault, Case]) -> Iterator[tuple[list[Fault], Case]]:
    """Yield the ways to fail that come to the same, together."""
    left = dict(cases)
    while left:
        first = next(iter(left.values()))
        faults = [fault for fault, case in left.items() if case == first]
        for fault in faults:
            del left[fault]
        yield faults, first


def _lines(service: str, faults: list[Fault], case: Case) -> Iterator[str]:
    begin = f"| {_NAMES[service]} | {'; '.join(_WAYS[fault] for fault in faults)}"
    back, data = case.back.text(_DEFAULTS), case.data or "—"
    if case.why_not or not case.promises:
        yield f"{begin} | nobody | as ever | — | — | {case.why_not or data} |"
        return
    groups: defaultdict[tuple[str, str], list[Kind]] = defaultdict(list)
    for kind, promise in case.promises.items():
        groups[_answer(kind, promise), promise.within.text(_DEFAULTS)].append(kind)
    for (answer, within), kinds in groups.items():
        yield f"{begin} | {', '.join(kinds)} | {answer} | {within} | {back} | {data} |"
        begin, back, data = "| |", "", ""


def _answer(kind: Kind, promise: Promise) -> str:
    healthy = HEALTHY[kind]
    if (promise.status, promise.code) == (healthy.status, healthy.code):
        return "as ever"
    codes = " or ".join(f"`{code}`" for code in (promise.code, promise.or_code) if code)
    return f"{promise.status} {codes}".rstrip()


def _defaults() -> dict[str, str]:
    text = (PATH.parents[1] / "env.example").read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Z_]+)=([0-9.]+)$", text, flags=re.MULTILINE))


_DEFAULTS: Final = _defaults()

if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8")
