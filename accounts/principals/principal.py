"""Who makes a request, and what has proved it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from gateway_core.errors import GatewayError


class Scheme(StrEnum):
    """What a principal was proved by."""

    SUPABASE = "supabase"
    API_KEY = "api_key"
    AGENT = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whoever makes a request.

    Attributes:
        session_id: the Supabase session, None for other schemes.
        expires_at: Unix seconds after which nothing may begin in this principal's name; the
            tolerance for clocks is in it.
        scopes: what the credential is limited to, None when it is not.
        api_key_id: of the API key that was presented.
        models: names and patterns of models that the credential is limited to; none: it is not.
    """

    user_id: UUID
    email: str
    is_anonymous: bool
    scheme: Scheme
    expires_at: float
    session_id: UUID | None = None
    scopes: frozenset[str] | None = None
    api_key_id: UUID | None = None
    models: tuple[str, ...] = ()

    @property
    def stands_until(self) -> float:
        """Return when what is under way has to prove itself again, in Unix seconds.

        What an access token has begun may end after it. An API key's end is its owner's wish, which
        counts for streams, too.
        """
        return self.expires_at if self.scheme is Scheme.API_KEY else math.inf


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a token has proved, and what is remembered of it.

    Attributes:
        is_suspended: the user may not go on; remembered, or hammering would reach the database.
        refusal: makes the error for somebody on the deny-list; remembered for the same reason.
        good_until: Unix seconds after which it has to be found out again.
        holds: says whether what proved the token would still prove it.
    """

    principal: Principal
    is_suspended: bool = False
    refusal: Callable[[], GatewayError] | None = None
    good_until: float = math.inf
    holds: Callable[[], bool] = _always
