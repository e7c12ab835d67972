"""What reading a request brings to light and the database or Letta has to confirm."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from gateway_core.errors import ResourceNotFound
from letta_proxy.models import Kind
from letta_proxy.ownership import Claim

# Letta's ids are a kind and a UUID, at most with a suffix. A NUL would make the database fail.
_IS_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch


@dataclass(slots=True)
class Demands:
    """Every id that a request names, wherever it stands.

    Attributes:
        claims: things that must be the caller's own.
        cursors: ids that count as missing unless they are of what the caller can list.
        tools: ids of tools to be given to an agent, and where they stand in the request.
        models: handles of models to think with, and where they stand.
    """

    claims: set[Claim] = field(default_factory=set)
    cursors: set[str] = field(default_factory=set)
    tools: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)

    def add(self, kind: Kind, upstream_id: str, pointer: str) -> None:
        """Note an id.

        Raises:
            ResourceNotFound: nothing can be called so.
        """
        require_id(upstream_id)
        if kind is Kind.TOOL:
            self.tools[upstream_id] = pointer
        else:
            self.claims.add(Claim(kind, upstream_id))


def require_id(value: str) -> None:
    """Refuse what can't be an id as Letta refuses what it doesn't have.

    Raises:
        ResourceNotFound: nothing can be called so.
    """
    if not _IS_ID(value):
        raise ResourceNotFound
