"""Blocks of memory that stand on their own and can be shared between agents."""

from __future__ import annotations

from typing import Final

from gateway_project.sandbox.letta import agent_shape, shapes
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.routes.agent_memory import BLOCK_FIELDS
from gateway_project.sandbox.letta.store import Row, public

routes: Final = Routes()


@routes.add("GET", "/blocks/")
async def list_blocks(call: Call) -> list[Row]:
    """Return the organization's blocks."""
    rows = [row for row in call.store.own_rows("blocks", call.actor) if _matches(call, row)]
    among = call.store.anyones_rows("blocks")
    return page([public(row) for row in rows], call.request.query_params, order="asc", among=among)


@routes.add("GET", "/blocks/count")
async def count_blocks(call: Call) -> int:
    """Return how many blocks the organization has."""
    return len(call.store.own_rows("blocks", call.actor))


@routes.add("POST", "/blocks/")
async def create_block(call: Call) -> Row:
    """Make a block."""
    given = await call.body(["label"])
    return public(call.store.add("blocks", shapes.block(given), call.actor))


@routes.add("GET", "/blocks/{block_id}")
async def get_block(call: Call) -> Row:
    """Return one block."""
    return public(call.own("blocks", "block_id"))


@routes.add("PATCH", "/blocks/{block_id}")
async def update_block(call: Call) -> Row:
    """Change a block."""
    given = await call.body()
    block = call.own("blocks", "block_id")
    block |= {name: value for name, value in given.items() if name in BLOCK_FIELDS}
    return public(block)


@routes.add("DELETE", "/blocks/{block_id}")
async def delete_block(call: Call) -> None:
    """Delete a block and detach it everywhere."""
    block = call.own("blocks", "block_id")
    call.store.remove("blocks", block["id"])
    for agent in call.store.anyones_rows("agents"):
        agent["_block_ids"] = [i for i in agent["_block_ids"] if i != block["id"]]


@routes.add("GET", "/blocks/{block_id}/agents")
async def list_block_agents(call: Call) -> list[Row]:
    """Return the own agents with a block; for a foreign block none, with 200."""
    block_id = call.path("block_id")
    rows = [a for a in call.store.own_rows("agents", call.actor) if block_id in a["_block_ids"]]
    included = [name.removeprefix("agent.") for name in call.many("include")]
    shown = page(rows, call.request.query_params)
    return [agent_shape.show(call.store, row, included) for row in shown]


@routes.add("PATCH", "/blocks/{block_id}/identities/attach/{identity_id}")
async def attach_identity(call: Call) -> Row:
    """Attach an identity."""
    block, identity = call.own("blocks", "block_id"), call.own("identities", "identity_id")
    identity["block_ids"] = sorted({*identity["block_ids"], block["id"]})
    return public(block)


@routes.add("PATCH", "/blocks/{block_id}/identities/detach/{identity_id}")
async def detach_identity(call: Call) -> Row:
    """Detach an identity."""
    block, identity = call.own("blocks", "block_id"), call.own("identities", "identity_id")
    identity["block_ids"] = [i for i in identity["block_ids"] if i != block["id"]]
    return public(block)


def _matches(call: Call, block: Row) -> bool:
    label, tags = call.query("label"), call.many("tags")
    if label and block["label"] != label:
        return False
    return not tags or any(tag in block["tags"] for tag in tags)
