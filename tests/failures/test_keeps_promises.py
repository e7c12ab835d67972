"""Each thing behind the gateway fails in each way; what comes of it is what is promised.

The quick cases by default, all of them with ``ALL_FAILURES=1``, which ``make torture`` sets.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.failures.asking import Cast, Kind, Outcome
from tests.failures.books import check_books
from tests.failures.document import PATH, document
from tests.failures.promises import HEALTHY, PROMISES, promised
from tests.failures.wire import Fault
from tests.failures.world import SETTINGS
from tests.timing import wait_until

if TYPE_CHECKING:
    from tests.failures.world import World

_IS_WHOLE = bool(os.environ.get("ALL_FAILURES"))
# What a busy machine adds; the whole table is for one that has nothing else to do.
_SLACK_SECONDS = 1.5 if _IS_WHOLE else 5.0
_TRIES_TO_OPEN = 120
_OPENED_BY = {
    "letta": (Kind.LETTA_READ, Kind.LETTA_TURN),
    "litellm": (Kind.MODEL_CALL,),
    "ams": (Kind.AGENT,),
}
_CASES = [
    pytest.param(service, fault, id=f"{service}-{fault}")
    for service, cases in PROMISES.items()
    for fault, case in cases.items()
    if not case.why_not and (_IS_WHOLE or fault is Fault.DOWN)
]


@pytest.mark.parametrize(("service", "fault"), _CASES)
def test_keeps_its_promise(world: World, service: str, fault: Fault) -> None:
    world.begin_anew()
    cast = Cast(world, world.remote if service == "ams" else world.gateway)
    stream = cast.begin_stream()
    _break(world, cast, service, fault)
    kinds = [kind for kind in Kind if kind is not Kind.STREAM]
    try:
        with ThreadPoolExecutor(len(kinds)) as pool:
            asked = pool.map(cast.ask, kinds)
            outcomes: dict[Kind, Outcome] = dict(zip(kinds, asked, strict=True))
            outcomes[Kind.STREAM] = stream.result(_SLACK_SECONDS + 10)
    finally:
        world.wires[service].mend()
    back = _wait_until_back(cast, service, fault)
    for kind, outcome in outcomes.items():
        _compare(service, fault, kind, outcome)
    worst = max(outcome.seconds for outcome in outcomes.values())
    print(f"{service} {fault}: answered within {worst:.1f} s, back after {back:.1f} s")  # noqa: T201
    check_books(cast)
    said = cast.gateway.log.read_text()
    assert "Traceback" not in said
    assert said.count("database is away") <= said.count("database is back") + 1


def test_the_document_is_what_the_promises_say() -> None:
    assert PATH.read_text(encoding="utf-8") == document(), "Run make failures"


def _break(world: World, cast: Cast, service: str, fault: Fault) -> None:
    world.wires[service].breaks(Fault.DOWN if fault is Fault.OPEN else fault)
    if service == "key server" and fault is not Fault.SLOW:
        wait_until(lambda: cast.ask(Kind.NEW_ME).code == "gateway_keys_unavailable", 5)
    if fault is Fault.OPEN:
        for kind in _OPENED_BY[service]:
            codes = (cast.ask(kind).code for _ in range(_TRIES_TO_OPEN))
            assert "upstream_circuit_open" in codes


def _compare(service: str, fault: Fault, kind: Kind, outcome: Outcome) -> None:
    promise = promised(service, fault, kind)
    assert (outcome.status, outcome.code) == (promise.status, promise.code), (kind, outcome)
    assert outcome.seconds < promise.within.under(SETTINGS) + _SLACK_SECONDS, (kind, outcome)


def _wait_until_back(cast: Cast, service: str, fault: Fault) -> float:
    """Wait until all that noticed is as ever; return how long that took."""
    case = PROMISES[service][fault]
    limit = case.back.under(SETTINGS) + _SLACK_SECONDS
    took = 0.0
    for kind in case.promises:
        if kind is not Kind.STREAM:
            took += wait_until(partial(_is_as_ever, cast, kind), limit - took)
    return took


def _is_as_ever(cast: Cast, kind: Kind) -> bool:
    outcome = cast.ask(kind)
    return (outcome.status, outcome.code) == (HEALTHY[kind].status, HEALTHY[kind].code)
