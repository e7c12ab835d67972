"""``GET models/{model}``, answered from the list: LiteLLM refuses it to keys that call models."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from gateway_core.errors import ResourceNotFound, UpstreamAnswerInvalid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway_core.proxy.exchange import Exchange


def describes_model(exchange: Exchange) -> Callable[[Any], Awaitable[Any]] | None:
    """Return what picks the model that the path names out of the list; None for other requests."""
    if not exchange.params:
        return None
    name = "/".join(exchange.params.values())

    async def pick(listing: Any) -> Any:
        return _pick(name, listing)

    return pick


def _pick(name: str, listing: Any) -> dict[str, Any]:
    """Return the model's entry. Of those listed like ``openai/*`` every name they mean is one.

    Raises:
        ResourceNotFound: there is none.
        UpstreamAnswerInvalid: that is no list of models.
    """
    try:
        entries = {entry["id"]: entry for entry in listing["data"]}
    except (KeyError, TypeError) as exc:
        raise UpstreamAnswerInvalid from exc
    if name in entries:
        return dict(entries[name])
    for pattern, entry in entries.items():
        if fnmatchcase(name, pattern):
            return {**entry, "id": name}
    raise ResourceNotFound(
        "There is no such model. GET /api/v1/llm/models lists those you may use.", param="model"
    )
