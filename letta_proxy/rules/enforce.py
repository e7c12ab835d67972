"""The rules' part in the way of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter

from gateway_core.errors import RuleDenied
from letta_proxy.catalogue.operation import operation_of
from letta_proxy.rules.book import BOOK
from letta_proxy.rules.decisions import NOTHING, decide
from letta_proxy.rules.models import Effect

if TYPE_CHECKING:
    from gateway_core.proxy.exchange import Exchange
    from letta_proxy.catalogue.operation import LettaOperation

_MATCHES: Final = Counter(
    "gateway_access_rule_matches", "Requests that an access rule matched, by effect.", ["effect"]
)


async def refuse_ruled_out(exchange: Exchange) -> None:
    """Stop what a rule denies; note on the record what a shadow rule would have denied.

    Raises:
        RuleDenied: a rule denies it.
        DatabaseUnavailable: the rules have never been read, and can't be now.
    """
    rules = await BOOK.current()
    operation = operation_of(exchange)
    decision = decide(
        rules, operation=operation.name, params=exchange.params, who=exchange.principal
    )
    if decision is NOTHING:
        return
    if decision.denied_by:
        exchange.record.facts["rule"] = decision.denied_by
        _MATCHES.labels(Effect.DENY.value).inc()
        raise denial(decision.denied_by, operation)
    exchange.record.facts["shadow_rule"] = " ".join(decision.shadowed_by)
    _MATCHES.labels(Effect.SHADOW.value).inc()


def denial(rule_id: str, operation: LettaOperation) -> RuleDenied:
    """Return the error of a request that a rule denies. The reason is for staff."""
    return RuleDenied(
        f"{operation.method} {operation.path} of Letta is not allowed for this account, by "
        f"{rule_id}. Quote that to support."
    )
