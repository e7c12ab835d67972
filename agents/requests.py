"""What callers send, as the views take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from django.utils.http import parse_etags

from agents.making import Traits
from gateway_core.crowded import MOST
from gateway_core.errors import EtagMismatch
from gateway_core.intake import raw_body, values_of

if TYPE_CHECKING:
    from rest_framework.request import Request

    from accounts.models import User
    from agents.models import Agent

# Of a file and what is around it: in Letta's bodies there may be 64 levels.
_DEEPEST: Final = 80
# Passages and messages may each have as many values as a whole body of Letta's.
_MOST: Final = 2 * MOST


def caller_of(request: Request) -> User:
    """Return whoever makes a request."""
    return cast("User", request.user)


def large_json(request: Request, max_bytes: int) -> Any:
    """Return the values of a body that may be larger than usual.

    Raises:
        BodyTooLarge, RequestMalformed: it can't be read, or holds too much.
    """
    content, _media_type = raw_body(request, max_bytes)
    return values_of(content, deepest=_DEEPEST, most=_MOST)


def traits_of(wish: dict[str, Any]) -> Traits:
    """Return the traits in validated values."""
    return Traits(
        name=wish.get("agent_name", ""),
        description=wish.get("description", ""),
        tags=tuple(wish.get("tags", ())),
        metadata=wish.get("metadata", {}),
    )


def revision_wanted(request: Request, agent: Agent) -> int | None:
    """Return the revision that a change is for, None for any.

    Raises:
        EtagMismatch: ``If-Match`` names none that the agent is at.
    """
    header = request.headers.get("if-match", "")
    if not header or header.strip() == "*":
        return None
    if agent.etag not in parse_etags(header):
        raise EtagMismatch
    return agent.revision
