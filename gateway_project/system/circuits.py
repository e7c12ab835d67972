"""The breakers of what stands behind the gateway: how they are, and what staff do with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction

from gateway_core import background, valkey
from gateway_core.audit.services import record_change
from gateway_core.errors import PolicyError, ResourceNotFound
from gateway_project.system import trips
from gateway_project.system.models import BreakerTrip
from gateway_project.upstreams import breakers, upstreams

if TYPE_CHECKING:
    from accounts.models import User
    from gateway_core.breaker import Breaker


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitReport:
    """A breaker as this process knows it.

    Attributes:
        state: closed, open or half_open; shared by all processes.
        until: when it is tried again; None while it is closed, or open until staff reset it.
        calls, failure_rate, slow_rate: of this process, in the last while.
        in_use, waiting: users' calls of this process that are under way, and that wait for that.
    """

    name: str
    state: str
    until: datetime | None
    reason: str
    calls: int
    failure_rate: float
    slow_rate: float
    in_use: int
    waiting: int


def circuits() -> list[CircuitReport]:
    """Return them all."""
    return [_report(breaker) for breaker in breakers().values()]


def circuit(name: str) -> CircuitReport:
    """Return one.

    Raises:
        ResourceNotFound: there is none of that name.
    """
    return _report(_named(name))


def trip(*, name: str, reason: str, by: User) -> CircuitReport:
    """Leave an upstream alone until somebody resets its breaker.

    Raises:
        PolicyError: they are no superuser.
        ResourceNotFound: there is none of that name.
    """
    _require_superuser(by)
    breaker = _named(name)
    with transaction.atomic():
        BreakerTrip.objects.update_or_create(breaker=name, defaults={"reason": reason})
        _record("trip", name, by, reason=reason)
        transaction.on_commit(partial(trips.tell, name, reason))
    return _report(breaker)


def reset(*, name: str, by: User) -> CircuitReport:
    """Let everything through again; failures are counted anew.

    Raises:
        PolicyError, ResourceNotFound: as ``trip`` does.
    """
    _require_superuser(by)
    breaker = _named(name)
    # First, so that no transaction stays open while Valkey is waited for.
    background.wait_for(breaker.reset, close=valkey.close)
    with transaction.atomic():
        BreakerTrip.objects.filter(breaker=name).delete()
        _record("reset", name, by)
        transaction.on_commit(partial(trips.tell, name, None))
    return _report(breaker)


def _record(verb: str, name: str, by: User, **facts: str) -> None:
    record_change(actor=by, action=f"breaker.{verb}", resource=f"breaker:{name}", facts=facts)


def _require_superuser(by: User) -> None:
    if not by.is_superuser:
        raise PolicyError("Only superusers trip and reset circuit breakers.")


def _named(name: str) -> Breaker:
    found = breakers().get(name)
    if found is None:
        names = ", ".join(breakers())
        raise ResourceNotFound(f"There is no upstream of that name. There are: {names}.")
    return found


def _report(breaker: Breaker) -> CircuitReport:
    now = breaker.circuit
    calls, failure_rate, slow_rate = breaker.rates()
    bulkhead = next((one.bulkhead for one in upstreams() if one.breaker is breaker), None)
    return CircuitReport(
        name=breaker.name,
        state=now.state.value,
        until=datetime.fromtimestamp(now.until, UTC) if now.until else None,
        reason=now.reason,
        calls=calls,
        failure_rate=round(failure_rate, 3),
        slow_rate=round(slow_rate, 3),
        in_use=bulkhead.in_use if bulkhead else 0,
        waiting=bulkhead.waiting if bulkhead else 0,
    )
