"""Identities: an application's own users, known to Letta."""

from __future__ import annotations

from typing import Final

from gateway_project.sandbox.letta import agent_shape, shapes
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import duplicate
from gateway_project.sandbox.letta.store import Row, public

routes: Final = Routes()

_REQUIRED: Final = ("identifier_key", "name", "identity_type")
_FIELDS: Final = (*_REQUIRED, "project_id", "agent_ids", "block_ids", "properties")


@routes.add("GET", "/identities/")
async def list_identities(call: Call) -> list[Row]:
    """Return the organization's identities."""
    key = call.query("identifier_key")
    rows = call.store.own_rows("identities", call.actor)
    kept = [public(row) for row in rows if key in {None, row["identifier_key"]}]
    return page(kept, call.request.query_params)


@routes.add("GET", "/identities/count")
async def count_identities(call: Call) -> int:
    """Return how many identities the organization has."""
    return len(call.store.own_rows("identities", call.actor))


@routes.add("POST", "/identities/")
async def create_identity(call: Call) -> Row:
    """Make an identity."""
    given = await call.body(_REQUIRED, allowed=_FIELDS)
    rows = call.store.own_rows("identities", call.actor)
    if any(row["identifier_key"] == given["identifier_key"] for row in rows):
        key = f"({given['identifier_key']}, null, {call.actor.organization_id})"
        constraint = "unique_identifier_key_project_id_organization_id"
        names = "(identifier_key, project_id, organization_id)"
        raise duplicate("Identity", constraint, f"{names}={key}")
    return public(call.store.add("identities", shapes.identity(given, call.actor), call.actor))


@routes.add("PUT", "/identities/")
async def upsert_identity(call: Call) -> Row:
    """Change the identity with this key, or make it."""
    given = await call.body(_REQUIRED, allowed=_FIELDS)
    rows = call.store.own_rows("identities", call.actor)
    known = next((r for r in rows if r["identifier_key"] == given["identifier_key"]), None)
    if known:
        known |= given
        return public(known)
    return public(call.store.add("identities", shapes.identity(given, call.actor), call.actor))


@routes.add("GET", "/identities/{identity_id}")
async def get_identity(call: Call) -> Row:
    """Return one identity."""
    return public(call.own("identities", "identity_id"))


@routes.add("PATCH", "/identities/{identity_id}")
async def update_identity(call: Call) -> Row:
    """Change an identity."""
    given = await call.body(allowed=_FIELDS)
    row = call.own("identities", "identity_id")
    row |= {name: value for name, value in given.items() if value is not None}
    return public(row)


@routes.add("PUT", "/identities/{identity_id}/properties")
async def upsert_properties(call: Call) -> None:
    """Replace an identity's properties."""
    properties = await call.json()
    call.own("identities", "identity_id")["properties"] = properties or []


@routes.add("DELETE", "/identities/{identity_id}")
async def delete_identity(call: Call) -> None:
    """Delete an identity."""
    call.store.remove("identities", call.own("identities", "identity_id")["id"])


@routes.add("GET", "/identities/{identity_id}/agents")
async def list_identity_agents(call: Call) -> list[Row]:
    """Return the agents of an identity."""
    identity = call.own("identities", "identity_id")
    rows = call.store.own_rows("agents", call.actor)
    held = [row for row in rows if identity["id"] in row["_identity_ids"]]
    return [agent_shape.show(call.store, row) for row in page(held, call.request.query_params)]


@routes.add("GET", "/identities/{identity_id}/blocks")
async def list_identity_blocks(call: Call) -> list[Row]:
    """Return the blocks of an identity."""
    identity = call.own("identities", "identity_id")
    rows = call.store.own_rows("blocks", call.actor)
    held = [public(row) for row in rows if row["id"] in identity["block_ids"]]
    return page(held, call.request.query_params)
