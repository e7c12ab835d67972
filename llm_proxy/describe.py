"""``GET models``: the models that a caller may use, and one of them.

LiteLLM shows a user's key what that key lists, where it makes nothing of patterns such as
``gpt-*``, and refuses it ``models/{model}`` (seen on 1.109.1). So its administrator is asked, and
what the caller may use is picked here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from accounts.plans.services import covers
from gateway_core.errors import ResourceNotFound, UpstreamAnswerInvalid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from llm_proxy.virtual_keys.grants import Grant

    Entries = Mapping[str, dict[str, Any]]

# Lists routes like ``openai/*`` beside the models that LiteLLM knows them to have.
QUERY: Final = urlencode({"return_wildcard_routes": "true"})


def describes(grant: Grant, name: str) -> Callable[[Any], Awaitable[Any]]:
    """Return what makes of LiteLLM's list that of a caller, or of ``name`` alone, unless empty."""

    async def describe(listing: Any) -> Any:
        entries = _entries(listing)
        if name:
            return _one(name, entries, grant)
        return {"object": "list", "data": _all(entries, grant)}

    return describe


def _entries(listing: Any) -> Entries:
    try:
        return {entry["id"]: entry for entry in listing["data"]}
    except (KeyError, TypeError) as exc:
        raise UpstreamAnswerInvalid from exc


def _all(entries: Entries, grant: Grant) -> list[dict[str, Any]]:
    listed = [
        entry for name, entry in entries.items() if "*" not in name and grant.allow_model(name)
    ]
    # Names that only the plan has, or the API key, and that LiteLLM has a route for.
    names = dict.fromkeys(name for patterns in grant.models for name in patterns)
    more = [name for name in names if "*" not in name and name not in entries]
    routed = ((name, _route(name, entries)) for name in more if grant.allow_model(name))
    return [*listed, *({**entry, "id": name} for name, entry in routed if entry)]


def _one(name: str, entries: Entries, grant: Grant) -> dict[str, Any]:
    """Return the model's entry, that of its route when it has none.

    Raises:
        ResourceNotFound: there is no such model, or not for this caller.
    """
    entry = entries.get(name) if "*" not in name else None
    entry = entry or _route(name, entries)
    if entry is None or not grant.allow_model(name):
        raise ResourceNotFound(
            "There is no such model. GET /api/v1/llm/models lists those you may use.", param="model"
        )
    return {**entry, "id": name}


def _route(name: str, entries: Entries) -> dict[str, Any] | None:
    found = (entry for route, entry in entries.items() if "*" in route and covers((route,), name))
    return next(found, None) if "*" not in name else None
