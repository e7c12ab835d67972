"""What reading a request brings to light and the database or Letta has to confirm."""

from __future__ import annotations

from dataclasses import dataclass, field

from letta_proxy.models import Kind
from letta_proxy.ownership import Claim


@dataclass(slots=True)
class Demands:
    """Every id that a request names, wherever it stands.

    Attributes:
        claims: things that must be the caller's own.
        tools: ids of tools to be given to an agent, and where they stand in the request.
    """

    claims: set[Claim] = field(default_factory=set)
    tools: dict[str, str] = field(default_factory=dict)

    def add(self, kind: Kind, upstream_id: str, pointer: str) -> None:
        """Note an id."""
        if kind is Kind.TOOL:
            self.tools[upstream_id] = pointer
        else:
            self.claims.add(Claim(kind, upstream_id))
