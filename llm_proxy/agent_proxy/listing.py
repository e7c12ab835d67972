"""The models that a user's agents may think with: LiteLLM's list, held to what the user may use.

For a wildcard route such as ``openai/*`` LiteLLM lists every model that it has ever heard of, 211
of them (measured). Those are left out unless the user's plan names them, or a pattern for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from accounts.plans.services import alimits_for, covers
from gateway_core.errors import UpstreamAnswerInvalid
from llm_proxy.client.models import list_models

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from accounts.plans.services import Limits

# Of LiteLLM's names for what a model does; it has none for models that it does not know.
_THINKS: Final = frozenset({None, "chat", "responses"})


async def agent_models(user_id: UUID) -> frozenset[str]:
    """Return the names of those models, as the route of agents would list them now.

    Raises:
        UpstreamError: LiteLLM does not say.
    """
    entries = models_for_agents(await list_models(), await alimits_for(user_id))
    return frozenset(entry["id"] for entry in entries)


def models_for_agents(listing: Any, limits: Limits) -> list[dict[str, Any]]:
    """Return the entries of those models.

    Args:
        listing: LiteLLM's answer, wildcard routes included.

    Raises:
        UpstreamAnswerInvalid: it is no list of models.
    """
    try:
        entries = {entry["id"]: entry for entry in listing["data"] if entry.get("mode") in _THINKS}
    except (AttributeError, KeyError, TypeError) as exc:
        raise UpstreamAnswerInvalid from exc
    routes = tuple(name for name in entries if "*" in name)
    names = [name for name in entries if name not in routes and limits.allow_model(name)]
    if not limits.allowed_models:
        names = [name for name in names if not _covered(routes, name)]
    return [*(entries[name] for name in names), *_named(limits, routes, entries)]


def _named(
    limits: Limits, routes: tuple[str, ...], entries: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield those that the plan names and only a wildcard route knows."""
    for name in limits.allowed_models:
        if "*" not in name and name not in entries and _covered(routes, name):
            yield {"id": name, "object": "model", "created": 0, "owned_by": "litellm"}


def _covered(routes: tuple[str, ...], name: str) -> bool:
    return bool(routes) and covers(routes, name)
