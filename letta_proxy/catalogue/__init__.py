"""Everything that Letta 0.16.8 offers, each operation classified once.

What is offered is forwarded under the rules of its row. All else is refused, whether it stands
here with a reason or is not known at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway_core.errors import GatewayError, OperationNotOffered
from gateway_core.proxy.operations import Catalogue
from letta_proxy.catalogue import (
    agents,
    closed,
    conversations,
    folders,
    memory,
    messages,
    runs,
    tools,
)

if TYPE_CHECKING:
    from letta_proxy.catalogue.operation import LettaOperation

_WHERE: Final = "What is offered is listed at /docs."


def refusal(method: str, path: str, why_not: str = "") -> OperationNotOffered:
    """Return the error for an operation that is not offered."""
    reason = f" {why_not}" if why_not else ""
    return OperationNotOffered(f"{method} {path} of Letta is not offered here.{reason} {_WHERE}")


def _refuse(method: str, path: str, methods: frozenset[str]) -> GatewayError:
    if methods:
        return refusal(method, path, f"This path has {', '.join(sorted(methods))}.")
    for prefix, why_not in closed.UNDOCUMENTED.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return refusal(method, path, why_not)
    return refusal(method, path)


CATALOGUE: Final[Catalogue[LettaOperation]] = Catalogue(
    (
        *agents.OPERATIONS,
        *messages.OPERATIONS,
        *conversations.OPERATIONS,
        *memory.OPERATIONS,
        *folders.OPERATIONS,
        *runs.OPERATIONS,
        *tools.OPERATIONS,
        *closed.OPERATIONS,
    ),
    refuse=_refuse,
)
