"""Writes docs/FAILURES.md: ``python -m tests.failures.document``."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.failures.promises import PROMISES, Promise
from tests.failures.wire import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.failures.asking import Kind
    from tests.failures.promises import Case

PATH: Final = Path(__file__).resolve().parents[2] / "docs" / "FAILURES.md"
_NAMES: Final = {
    "postgres": "PostgreSQL",
    "valkey": "Valkey",
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
  than the table says; times are added up, and settings are in [env.example](../env.example).
- "A new user" is one whom the process has not met yet, or not for `CACHE_TTL_JWT` seconds; the
  others are known to it.
- Nobody who is suspended, signed out or has a revoked key gets in by any of these failures. While
  Valkey is away, what one process decides others find out within 10 s.
- Every request leaves one audit event, every answered model call one usage record, and an agent
  that was ordered with an `Idempotency-Key` is made once, however often the order is repeated.
- Two failures at once: without PostgreSQL and Valkey nobody is known for longer than some seconds,
  and requests are answered as without PostgreSQL.
- The log says once that something is away, and once that it is back.

| what | how it fails | who notices | answer | within | back within | data |
|---|---|---|---|---|---|---|
"""


def document() -> str:
    """Return the page."""
    lines = [
        line
        for service, cases in PROMISES.items()
        for fault, case in cases.items()
        for line in _lines(service, fault, case)
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _lines(service: str, fault: Fault, case: Case) -> Iterator[str]:
    who = f"| {_NAMES[service]} | {_WAYS[fault]}"
    if case.why_not or not case.promises:
        yield f"{who} | nobody | | | | {case.why_not or case.data} |"
        return
    groups: defaultdict[Promise, list[Kind]] = defaultdict(list)
    for kind, promise in case.promises.items():
        groups[promise].append(kind)
    for promise, kinds in groups.items():
        code = f" `{promise.code}`" if promise.code else ""
        yield (
            f"{who} | {', '.join(kinds)} | {promise.status}{code} | {promise.within.text()} "
            f"| {case.back.text()} | {case.data} |"
        )
        who = "| |"


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8")
