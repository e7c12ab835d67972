"""Each thing behind the gateway fails in each way; what comes of it is what is promised.

The quick cases by default, all of them with ``ALL_FAILURES=1``, which ``make torture`` sets.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.failures.asking import STREAMS, Cast, Kind, Outcome
from tests.failures.books import check_books
from tests.failures.document import PATH, document
from tests.failures.promises import HEALTHY, PROMISES, promised
from tests.failures.wire import Fault
from tests.failures.world import IS_WHOLE, SETTINGS
from tests.timing import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.failures.world import World

# What a busy machine adds; the whole table is for one that has nothing else to do.
_SLACK_SECONDS = 1.5 if IS_WHOLE else 5.0
_TRIES_TO_OPEN = 120
# What the log says of their absence and return, of each once.
_SAID = {
    "postgres": [("database is away", "database is back")],
    "valkey": [
        ("limits hold for each process alone", "limits hold for all processes together again"),
        ("breakers hold for each process alone", "breakers hold for all processes together again"),
    ],
    "key server": [("jwks_fetch_failed", "jwks_recovered")],
}
# A busy machine can have one of its own before or after.
_OUTAGES_AT_MOST = 3
_SAID_SECONDS = 6 + _SLACK_SECONDS
_FORGETS_SECONDS = 10 + _SLACK_SECONDS
_OPENED_BY = {
    "letta": (Kind.LETTA_READ, Kind.LETTA_TURN),
    "litellm": (Kind.MODEL_CALL,),
    "ams": (Kind.AGENT,),
}
_CASES = [
    pytest.param(service, fault, id=f"{service}-{fault}")
    for service, cases in PROMISES.items()
    for fault, case in cases.items()
    if not case.why_not and (IS_WHOLE or fault is Fault.DOWN)
]


@pytest.mark.parametrize(("service", "fault"), _CASES)
def test_keeps_its_promise(
    world: World, service: str, fault: Fault, record_property: Callable[[str, object], None]
) -> None:
    world.begin_anew()
    cast = Cast(world, world.remote if service == "ams" else world.gateway)
    began_at = cast.gateway.log.stat().st_size
    streams = {kind: cast.begin_stream(kind) for kind in STREAMS}
    _break(world, cast, service, fault)
    kinds = [kind for kind in Kind if kind not in STREAMS]
    try:
        with ThreadPoolExecutor(len(kinds)) as pool:
            asked = pool.map(cast.ask, kinds)
            outcomes: dict[Kind, Outcome] = dict(zip(kinds, asked, strict=True))
            outcomes |= {
                kind: stream.result(_SLACK_SECONDS + 10) for kind, stream in streams.items()
            }
    finally:
        for wire in world.wires_of(service):
            wire.mend()
    back = _wait_until_back(cast, service, fault)
    for kind, outcome in outcomes.items():
        _compare(service, fault, kind, outcome)
    check_books(cast)
    _check_log(cast, service, fault, began_at)
    record_property("requests", len(cast.asked))
    record_property("answered", max(outcome.seconds for outcome in outcomes.values()))
    record_property("back", back)


def test_the_document_is_what_the_promises_say() -> None:
    assert PATH.read_text(encoding="utf-8") == document(), "Run make failures"


def _break(world: World, cast: Cast, service: str, fault: Fault) -> None:
    for wire in world.wires_of(service):
        wire.breaks(Fault.DOWN if fault is Fault.OPEN else fault)
    if service == "key server" and fault is not Fault.SLOW:
        wait_until(partial(_is_answered, cast, Kind.NEW_ME, "gateway_keys_unavailable"), 10)
    if service == "postgres and valkey":
        forgotten = partial(_is_answered, cast, Kind.MODEL_CALL, "gateway_database_unavailable")
        wait_until(forgotten, _FORGETS_SECONDS)
    if fault is Fault.OPEN:
        for kind in _OPENED_BY[service]:
            codes = (cast.ask(kind).code for _ in range(_TRIES_TO_OPEN))
            assert "upstream_circuit_open" in codes


def _is_answered(cast: Cast, kind: Kind, code: str) -> bool:
    return cast.ask(kind).code == code


def _compare(service: str, fault: Fault, kind: Kind, outcome: Outcome) -> None:
    promise = promised(service, fault, kind)
    codes = {promise.code, promise.or_code or promise.code}
    assert (outcome.status, {outcome.code} <= codes) == (promise.status, True), (kind, outcome)
    assert outcome.seconds < promise.within.under(SETTINGS) + _SLACK_SECONDS, (kind, outcome)


def _wait_until_back(cast: Cast, service: str, fault: Fault) -> float:
    """Wait until all that noticed is as ever; return how long that took."""
    case = PROMISES[service][fault]
    limit = case.back.under(SETTINGS) + _SLACK_SECONDS
    took = 0.0
    for kind in case.promises:
        if kind not in STREAMS:
            took += wait_until(partial(_is_as_ever, cast, kind), limit - took)
    return took


def _is_as_ever(cast: Cast, kind: Kind) -> bool:
    outcome = cast.ask(kind)
    return (outcome.status, outcome.code) == (HEALTHY[kind].status, HEALTHY[kind].code)


def _check_log(cast: Cast, service: str, fault: Fault, began_at: int) -> None:
    """Find in the log since then that an outage began, and that it has ended, each said once."""

    def said() -> str:
        return cast.gateway.log.read_bytes()[began_at:].decode()

    for name in service.split(" and "):
        for away, back in _SAID.get(name, ()):
            find = re.compile(f"{away}|{back}").findall
            if fault is Fault.DOWN:
                wait_until(lambda: {away, back} <= set(find(said())), _SAID_SECONDS)  # noqa: B023
            lines = find(said())
            assert len(lines) <= 2 * _OUTAGES_AT_MOST, lines
            assert all(one != other for one, other in pairwise(lines)), lines
    assert "Traceback" not in said()
