"""Which tools users may give to their agents: names on a list, code never."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from gateway_core.cache import LocalCache
from gateway_core.errors import FieldForbidden, ResourceNotFound
from letta_proxy import client
from letta_proxy.provisioning import letta_user_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

# Letta's tools are rows of each organization; what a row is called never changes here, because
# tools can't be edited through the gateway.
_names: LocalCache[tuple[UUID, str], str] = LocalCache(
    "letta_tool", ttl=lambda: settings.CACHE_TTL_OWNERSHIP, max_entries=50_000
)


def require_allowed_name(name: str, pointer: str) -> None:
    """Refuse a tool that is not on the list.

    Raises:
        FieldForbidden: it is not.
    """
    if name not in settings.LETTA_ALLOWED_TOOLS:
        raise FieldForbidden(
            f"The tool {name!r} at {pointer} is not available here. Choose from: "
            f"{', '.join(sorted(settings.LETTA_ALLOWED_TOOLS))}.",
            param=pointer,
        )


async def require_allowed(user_id: UUID, tools: Mapping[str, str]) -> None:
    """Refuse tools, given as id and pointer, that are not the user's or not on the list.

    Raises:
        ResourceNotFound: the user's organization has no such tool.
        FieldForbidden: it is not on the list.
    """
    for tool_id, pointer in tools.items():
        name = _names.get((user_id, tool_id))
        if name is None:
            tool = await client.read("tools", tool_id, await letta_user_for(user_id))
            if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
                raise ResourceNotFound
            name = tool["name"]
            _names.put((user_id, tool_id), name)
        require_allowed_name(name, pointer)
