"""Letta Cloud, where all users' things are in one organization.

Letta's own walls don't stand between them, so everything rests on the table of owners. What takes
tags gets one with its owner's id, by which Letta finds a user's agents; callers never see it. Names
that have to be unique get it too. From a list of the whole organization only what is the caller's
own passes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode

from django.conf import settings

from letta_proxy import client
from letta_proxy.catalogue.operation import operation_of
from letta_proxy.mode import is_cloud
from letta_proxy.models import Kind
from letta_proxy.ownership import Claim, Created, record_shown, recorded_as_own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from gateway_core.proxy.exchange import Exchange
    from letta_proxy.catalogue.operation import LettaOperation, Listed

_TAG: Final = "gw:"
_TAGGED: Final = re.compile(r"gw:[0-9a-f-]*").fullmatch
_USUAL_LIMIT: Final = 50
_PAGE: Final = 100
# So much of a list is looked through for one request at the most.
_MOST_PAGES: Final = 20


def tag_of(user_id: UUID) -> str:
    """Return the tag that a user's things have."""
    return f"{_TAG}{user_id}"


def mark_as_own(exchange: Exchange) -> None:
    """Give what a request makes or changes its owner's tag; ask for the owner's agents alone."""
    if not is_cloud():
        return
    operation, own = operation_of(exchange), tag_of(exchange.principal.user_id)
    for thing in _tagged(operation, exchange.payload):
        given = thing.get("tags")
        is_new = given is None and operation.method == "POST"
        if is_new or isinstance(given, list):
            thing["tags"] = [own, *without_tags(given or ())]
    if operation.listed and operation.listed.by_tag:
        _narrow(exchange, own)
    if operation.unique_names:
        _prefix_names(exchange, own)


async def only_own(exchange: Exchange, document: Any) -> Any:
    """Return an answer without the things of others and without the gateway's tags."""
    if not is_cloud():
        return document
    operation, user_id = operation_of(exchange), exchange.principal.user_id
    if operation.listed is not None and isinstance(document, list):
        document = await _filled(exchange, operation, document)
    await record_shown(user_id, list(_loose(document, exchange.params.get("agent_id", ""))))
    return _untagged(document, f"{tag_of(user_id)} ")


async def _filled(exchange: Exchange, operation: LettaOperation, page: list[Any]) -> list[Any]:
    """Return a page of own things, as full as the caller wants it, from as many as it takes."""
    query = parse_qsl(exchange.query, keep_blank_values=True)
    wanted, kept, seen = _limit(query), [], set[str]()
    can_go_on = "after" in operation.query and "before" not in dict(query)
    for _ in range(_MOST_PAGES):
        fresh = [item for item in page if _id(item) not in seen]
        seen.update(_id(item) for item in fresh)
        kept += await _own(exchange.principal.user_id, operation.listed, fresh)
        if not fresh or not can_go_on or len(kept) >= wanted:
            break
        rest = [pair for pair in query if pair[0] not in {"after", "limit"}]
        rest += [("limit", str(_PAGE)), ("after", _id(page[-1]))]
        page = await client.read_page(f"{exchange.target}?{urlencode(rest)}")
    return kept[:wanted]


async def _own(user_id: UUID, listed: Listed | None, items: list[Any]) -> list[Any]:
    if listed is None:
        return items
    if listed.kind is Kind.TOOL:  # the same for all: those that users may give to their agents
        return [item for item in items if item.get("name") in settings.LETTA_ALLOWED_TOOLS]
    claims = {index: Claim(listed.kind, _id(item, listed)) for index, item in enumerate(items)}
    own = await recorded_as_own(user_id, set(claims.values()))
    return [item for index, item in enumerate(items) if claims[index] in own]


def _loose(document: Any, agent_id: str) -> Iterator[Created]:
    """Yield the messages of an own thread that no run has made: Letta can't say whose they are."""
    for item in document if isinstance(document, list) else ():
        upstream_id = _id(item)
        if upstream_id.startswith("message-") and not item.get("run_id"):
            yield Created(kind=Kind.MESSAGE, upstream_id=upstream_id, agent_id=agent_id)


def _prefix_names(exchange: Exchange, own: str) -> None:
    """Let two users have folders of one name, and neither hear that the other has."""
    payload = exchange.payload
    if isinstance(payload, dict) and isinstance(payload.get("name"), str):
        payload["name"] = f"{own} {payload['name']}"
    query = parse_qsl(exchange.query, keep_blank_values=True)
    exchange.query = urlencode(
        [(name, f"{own} {value}" if name == "name" else value) for name, value in query]
    )


def _narrow(exchange: Exchange, own: str) -> None:
    """Ask by the owner's tag, unless the caller wants any of several tags, which would widen it."""
    query = parse_qsl(exchange.query, keep_blank_values=True)
    others = [value for name, value in query if name == "tags"]
    if not others or dict(query).get("match_all_tags", "").lower() == "true":
        query = [pair for pair in query if pair[0] != "match_all_tags"]
        query += [("tags", own), ("match_all_tags", "true")]
        exchange.query = urlencode(query)


def _tagged(operation: LettaOperation, payload: Any) -> Iterator[dict[str, Any]]:
    """Yield what of a body takes tags."""
    if operation.takes_tags is None or not isinstance(payload, dict):
        return
    yield payload
    for member in operation.takes_tags:
        yield from (item for item in payload.get(member) or () if isinstance(item, dict))


def _untagged(value: Any, prefix: str) -> Any:
    """Return a value without tags, and without the tag before names wherever these are said."""
    if isinstance(value, str):
        return value.replace(prefix, "")
    if isinstance(value, list):
        return [_untagged(item, prefix) for item in without_tags(value)]
    if isinstance(value, dict):
        return {name: _untagged(item, prefix) for name, item in value.items()}
    return value


def without_tags(tags: Any) -> list[Any]:
    """Return what is no tag of the gateway's."""
    return [tag for tag in tags if not (isinstance(tag, str) and _TAGGED(tag))]


def _id(item: Any, listed: Listed | None = None) -> str:
    if isinstance(item, dict):
        item = item.get(listed.member if listed else "id")
    return item if isinstance(item, str) else ""


def _limit(query: list[tuple[str, str]]) -> int:
    given = dict(query).get("limit", "")
    return int(given) if given.isdecimal() else _USUAL_LIMIT
