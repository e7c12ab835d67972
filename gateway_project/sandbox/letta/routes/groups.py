"""Groups of agents. Deprecated, and careless about whose agents they hold."""

from __future__ import annotations

from typing import Final

from gateway_project.sandbox.letta import shapes
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.store import Row, public

routes: Final = Routes()


@routes.add("GET", "/groups/")
async def list_groups(call: Call) -> list[Row]:
    """Return the organization's groups."""
    rows = [public(row) for row in call.store.own_rows("groups", call.actor)]
    return page(rows, call.request.query_params, order="asc")


@routes.add("GET", "/groups/count")
async def count_groups(call: Call) -> int:
    """Return how many groups the organization has."""
    return len(call.store.own_rows("groups", call.actor))


@routes.add("POST", "/groups/")
async def create_group(call: Call) -> Row:
    """Make a group; as the real server, of anybody's agents."""
    given = await call.body(["agent_ids", "description"])
    return public(call.store.add("groups", shapes.group(given), call.actor))


@routes.add("GET", "/groups/{group_id}")
async def get_group(call: Call) -> Row:
    """Return one group."""
    return public(call.own("groups", "group_id"))


@routes.add("DELETE", "/groups/{group_id}")
async def delete_group(call: Call) -> Row:
    """Delete a group."""
    group = call.own("groups", "group_id")
    call.store.remove("groups", group["id"])
    return {"message": f"Group id={group['id']} successfully deleted"}
