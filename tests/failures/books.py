"""What has become of data when a failure is over: nothing lost, and nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

from tests.failures.asking import Kind
from tests.timing import wait_until

if TYPE_CHECKING:
    from tests.failures.asking import Cast, Outcome

# The longest pause of the shipper, and some.
_SHIPPED_SECONDS: Final = 15.0
_SETTLED_SECONDS: Final = 15.0
_CALLS: Final = frozenset({Kind.MODEL_CALL, Kind.NEW_MODEL_CALL, Kind.STREAM})
_PROVED_BY_DATABASE: Final = frozenset({Kind.ADMIN, Kind.AGENT_CALL, Kind.REVOKED})
_SAID_OF_IT: Final = frozenset({"", "gateway_database_unavailable"})  # without a code: a page's
_EVENTS: Final = """
SELECT request_id, count(*) FROM audit_auditevent
WHERE status IS NOT NULL AND request_id = ANY(%s) GROUP BY request_id
"""
_CALLS_RECORDED: Final = """
SELECT request_id, count(*) FROM llm_proxy_usagerecord
WHERE request_id = ANY(%s) GROUP BY request_id
"""


def check_books(cast: Cast) -> None:
    """Compare what is on record with what was answered."""
    _check_events(cast)
    _check_usage(cast)
    for key in list(cast.orders):
        _check_order(cast, key)


def _check_events(cast: Cast) -> None:
    everything = [outcome.request_id for _, outcome in cast.asked]
    expected = {outcome.request_id for kind, outcome in cast.asked if _leaves_event(kind, outcome)}

    def counts() -> dict[str, int]:
        return dict(cast.world.query(_EVENTS, everything))

    wait_until(lambda: set(counts()) == expected, _SHIPPED_SECONDS)
    assert set(counts().values()) <= {1}


def _leaves_event(kind: Kind, outcome: Outcome) -> bool:
    """Say whether it was known who asked; without the database nobody knows it of some."""
    if kind is Kind.READY or outcome.status == httpx.codes.UNAUTHORIZED:
        return False
    if outcome.code == "gateway_keys_unavailable":
        return False
    is_away = outcome.status == httpx.codes.SERVICE_UNAVAILABLE and outcome.code in _SAID_OF_IT
    return not (is_away and kind in _PROVED_BY_DATABASE)


def _check_usage(cast: Cast) -> None:
    calls = [outcome for kind, outcome in cast.asked if kind in _CALLS]
    recorded = dict(cast.world.query(_CALLS_RECORDED, [call.request_id for call in calls]))
    assert set(recorded.values()) <= {1}
    for call in calls:
        if call.status == httpx.codes.OK:
            assert recorded.get(call.request_id) == 1, call


def _check_order(cast: Cast, key: str) -> None:
    """Repeat an order with its key until it is answered: there is one agent, or it says why not."""
    answers: list[int] = []

    def is_settled() -> bool:
        answer = cast.order_again(key)
        answers.append(answer.status_code)
        in_progress = "in_progress" in answer.text
        return answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR and not in_progress

    wait_until(is_settled, _SETTLED_SECONDS)
    made = cast.agents_named(cast.orders[key]["agent_name"])
    assert answers[-1] in {httpx.codes.CREATED, httpx.codes.CONFLICT}, answers
    if answers[-1] == httpx.codes.CREATED:
        assert len(made) == 1, (answers, made)
    assert len(made) <= 1, (answers, made)
    rows = cast.world.query(
        "SELECT agent_id FROM agents_agent WHERE name = %s AND status = 'active'",
        cast.orders[key]["agent_name"],
    )
    owned = cast.world.query(
        "SELECT upstream_id FROM letta_proxy_ownedresource WHERE upstream_id = ANY(%s)", made
    )
    if answers[-1] == httpx.codes.CREATED:
        assert [row[0] for row in rows] == made
        assert [row[0] for row in owned] == made
