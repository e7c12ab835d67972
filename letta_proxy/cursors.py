"""Cursors: ids that say where a page of a list begins.

Measured on Letta 0.16.8: most lists look a cursor up among the things of all organizations, and
what comes before or after it tells when a foreign thing was made. So a cursor that the caller can't
have seen in a list is replaced by one that nothing has: Letta then does what it does for a thing
that is gone, which is an error for some lists and the first page of others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode

from django.conf import settings

from gateway_core.cache import LocalCache
from letta_proxy import client
from letta_proxy.mode import is_cloud
from letta_proxy.models import Kind
from letta_proxy.ownership import is_id, owns
from letta_proxy.provisioning import letta_user_for

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from gateway_core.proxy.exchange import Exchange

# What an id begins with, what it then is, and where Letta has one of these by its id.
_KINDS: Final = {
    "agent": (Kind.AGENT, "agents"),
    "archive": (Kind.ARCHIVE, "archives"),
    "block": (Kind.BLOCK, "blocks"),
    "conv": (Kind.CONVERSATION, "conversations"),
    "file": (Kind.FILE, ""),
    "group": (Kind.GROUP, "groups"),
    "message": (Kind.MESSAGE, "messages"),
    "passage": (Kind.PASSAGE, ""),
    "run": (Kind.RUN, "runs"),
    "source": (Kind.FOLDER, "folders"),
    "step": (Kind.STEP, "steps"),
    "tool": (Kind.TOOL, "tools"),
}
_NOTHING: Final = "{}-00000000-0000-4000-8000-000000000000"
_seen: LocalCache[tuple[UUID, str], bool] = LocalCache(
    "letta_cursor", ttl=lambda: settings.CACHE_TTL_OWNERSHIP, max_entries=50_000
)


async def hide_unlisted(exchange: Exchange, cursors: Collection[str]) -> None:
    """Replace in the query what is nothing of the caller's."""
    user_id = exchange.principal.user_id
    hidden = {cursor for cursor in cursors if not await _is_listed(user_id, cursor)}
    if hidden:
        pairs = parse_qsl(exchange.query, keep_blank_values=True)
        exchange.query = urlencode(
            [
                (name, _NOTHING.format(_prefix(value)) if value in hidden else value)
                for name, value in pairs
            ]
        )


async def _is_listed(user_id: UUID, cursor: str) -> bool:
    if _prefix(cursor) not in _KINDS or not is_id(cursor):
        return True  # nothing in the tables that lists are made from has such an id
    if _seen.get((user_id, cursor)):
        return True
    kind, collection = _KINDS[_prefix(cursor)]
    if await owns(user_id, kind, (cursor,)):
        return True
    if collection and await _is_in_organization(user_id, collection, cursor):
        _seen.put((user_id, cursor), True)
        return True
    return False


async def _is_in_organization(user_id: UUID, collection: str, cursor: str) -> bool:
    """Say whether Letta shows it to the user by its id, which it does only to their organization.

    Not everything there is in the table, or goes with an agent: tools, the first message of a
    thread, an archive that has outlived its agent. On Letta Cloud the organization is everybody's,
    and only tools are meant to be.
    """
    if is_cloud() and collection != "tools":
        return False
    return bool(await client.read(collection, cursor, await letta_user_for(user_id)))


def _prefix(upstream_id: str) -> str:
    return upstream_id.partition("-")[0]
