"""Letta's own paths for what the gateway itself wants of it. Nothing else knows them.

Measured on Letta 0.16.8. ``user_id`` picks the organization whose things are seen; the server's
password is checked on every path but health.
"""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from django.conf import settings

from gateway_core.errors import (
    UpstreamAnswerInvalid,
    UpstreamCredentialRejected,
    UpstreamFailed,
    UpstreamUnreachable,
)
from gateway_core.http import UpstreamClient
from gateway_core.upstream import Timeouts, Upstream, with_limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PAGE: Final = 200
# Of things of 20 KB and more, such as agents.
_LARGE_THINGS: Final = 50
# Beside those of the route's cap: for the calls that the gateway makes itself.
_OWN_CONNECTIONS: Final = 32
_NOT_THERE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY})


@cache
def connections() -> UpstreamClient:
    """Return the process's connections to Letta."""
    return UpstreamClient(
        name="letta",
        base_url=settings.LETTA_BASE_URL,
        connect_timeout=settings.UPSTREAM_CONNECT_TIMEOUT,
        max_connections=settings.LETTA_MAX_CONCURRENT + settings.LETTA_MAX_TURNS + _OWN_CONNECTIONS,
    )


@cache
def upstream() -> Upstream:
    """Return Letta, for all that asks no model."""
    return with_limits(
        connections(),
        slots=lambda: settings.LETTA_MAX_CONCURRENT,
        timeouts=lambda: Timeouts(
            first_byte=settings.LETTA_QUICK_TIMEOUT,
            idle=settings.LETTA_QUICK_TIMEOUT,
            total=settings.LETTA_TIMEOUT,
        ),
        is_quick=True,
    )


@cache
def turns() -> Upstream:
    """Return Letta, for what a model does there: it takes its time, and fails when models do."""
    return with_limits(
        connections(),
        work="turns",
        slots=lambda: settings.LETTA_MAX_TURNS,
        timeouts=lambda: Timeouts(
            first_byte=settings.UPSTREAM_FIRST_BYTE_TIMEOUT,
            idle=settings.UPSTREAM_IDLE_TIMEOUT,
            total=settings.LETTA_TIMEOUT,
        ),
    )


def credentials(letta_user_id: str | None) -> dict[str, str]:
    """Return the headers that prove the gateway to Letta and say in whose name it comes.

    Letta Cloud knows no users of the gateway's: it is told none.
    """
    headers = {"authorization": f"Bearer {settings.LETTA_API_KEY}"}
    if letta_user_id:
        headers["user_id"] = letta_user_id
    return headers


async def create_organization(name: str) -> str:
    """Make an organization and return its id. Names are not unique in Letta."""
    return _id(await _call("POST", "/v1/admin/orgs/", payload={"name": name}))


async def find_organization(name: str) -> str | None:
    """Return the id of an organization of that name, by reading through all of them."""
    async for organization_id, its_name in organizations():
        if its_name == name:
            return organization_id
    return None


async def organizations() -> AsyncIterator[tuple[str, str]]:
    """Yield the id and the name of every organization."""
    after = None
    while True:
        query = {"limit": _PAGE} | ({"after": after} if after else {})
        page = await _call("GET", f"/v1/admin/orgs/?{urlencode(query)}")
        for organization in page:
            yield _id(organization), organization["name"]
        if len(page) < _PAGE:
            return
        after = _id(page[-1])


async def delete_organization(organization_id: str) -> None:
    """Delete an organization and all that is in it; one that is gone already counts as deleted."""
    query = urlencode({"org_id": organization_id})
    await _call("DELETE", f"/v1/admin/orgs/?{query}", or_none=True)


async def create_user(name: str, organization_id: str) -> str:
    """Make a user of an organization and return their id."""
    payload = {"name": name, "organization_id": organization_id}
    return _id(await _call("POST", "/v1/admin/users/", payload=payload))


async def add_base_tools(letta_user_id: str) -> None:
    """Give an organization Letta's own tools, without which no agent can be made. Repeatable."""
    await _call("POST", "/v1/tools/add-base-tools", letta_user_id)


async def find_provider(name: str, letta_user_id: str) -> str | None:
    """Return the id of the organization's model provider of that name."""
    found = await _call("GET", f"/v1/providers/?{urlencode({'name': name})}", letta_user_id)
    return _id(found[0]) if found else None


async def create_provider(name: str, letta_user_id: str, *, url: str, key: str) -> str:
    """Make an OpenAI provider, which Letta then asks for its models, and return its id.

    One of that name that was deleted comes back as it was, with these members. Measured: only so do
    models come back that the provider has once left out of its list.
    """
    payload = {"name": name, "provider_type": "openai", "base_url": url, "api_key": key}
    return _id(await _call("POST", "/v1/providers/", letta_user_id, payload=payload))


async def change_provider(provider_id: str, letta_user_id: str, *, url: str, key: str) -> None:
    """Give a provider another address and key. Agents keep the address they have (measured)."""
    target = f"/v1/providers/{provider_id}"
    await _call("PATCH", target, letta_user_id, payload={"base_url": url, "api_key": key})


async def refresh_provider(provider_id: str, letta_user_id: str) -> None:
    """Have Letta ask a provider for its models; it does not say whether that went well."""
    await _call("PATCH", f"/v1/providers/{provider_id}/refresh", letta_user_id)


async def delete_provider(provider_id: str, letta_user_id: str) -> None:
    """Delete a provider; one that is gone already counts as deleted."""
    await _call("DELETE", f"/v1/providers/{provider_id}", letta_user_id, or_none=True)


async def models_of(provider: str, letta_user_id: str) -> frozenset[str]:
    """Return the handles that stand for models of a provider of that name."""
    models = await _call(
        "GET", f"/v1/models/?{urlencode({'provider_name': provider})}", letta_user_id
    )
    return frozenset(model["handle"] for model in models)


async def things(
    collection: str, letta_user_id: str, **query: str
) -> AsyncIterator[dict[str, Any]]:
    """Yield all that an organization has of a kind, oldest first, in pages that stay small."""
    wish = {"limit": _LARGE_THINGS, "order": "asc", **query}
    while True:
        page = await _call("GET", f"/v1/{collection}/?{urlencode(wish)}", letta_user_id)
        for thing in page:
            yield thing
        if len(page) < _LARGE_THINGS:
            return
        wish["after"] = _id(page[-1])


async def change(
    collection: str, upstream_id: str, letta_user_id: str, payload: Any
) -> dict[str, Any] | None:
    """Change a thing and return it, None when it is gone."""
    path = f"/v1/{collection}/{quote(upstream_id, safe='')}"
    changed: dict[str, Any] | None = await _call(
        "PATCH", path, letta_user_id, payload=payload, or_none=True
    )
    return changed


async def read(collection: str, upstream_id: str, letta_user_id: str) -> Any:
    """Return one thing (a run, a step …) as that user sees it, None if they don't."""
    path = f"/v1/{collection}/{quote(upstream_id, safe='')}"
    return await _call("GET", path, letta_user_id, or_none=True)


async def read_page(target: str) -> list[Any]:
    """Return a page of a list of Letta Cloud's, by path and query."""
    page = await _call("GET", target)
    if not isinstance(page, list):
        raise UpstreamAnswerInvalid
    return page


async def agents_with(collection: str, upstream_id: str, letta_user_id: str) -> list[str]:
    """Return the ids of the agents that a block, archive or folder is attached to."""
    path = f"/v1/{collection}/{quote(upstream_id, safe='')}/agents"
    agents = await _call("GET", path, letta_user_id, or_none=True) or []
    return [agent if isinstance(agent, str) else _id(agent) for agent in agents]


async def _call(
    method: str,
    target: str,
    letta_user_id: str | None = None,
    *,
    payload: Any = None,
    or_none: bool = False,
) -> Any:
    if not settings.LETTA_BASE_URL:
        raise UpstreamUnreachable("No Letta server is configured.")
    status, answer = await upstream().fetch(
        method,
        target,
        headers=credentials(letta_user_id),
        payload=payload,
        timeout_seconds=settings.LETTA_QUICK_TIMEOUT,
    )
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return answer
    if or_none and status in _NOT_THERE:
        return None
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise UpstreamCredentialRejected
    raise UpstreamFailed


def _id(thing: Any) -> str:
    upstream_id = thing.get("id") if isinstance(thing, dict) else None
    if not isinstance(upstream_id, str):
        raise UpstreamAnswerInvalid
    return upstream_id
