"""An agent's core memory (blocks) and archival memory (passages)."""

from __future__ import annotations

from typing import Final

from gateway_project.sandbox.letta import agent_shape, agents, embeddings, shapes
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import DetailError, missing
from gateway_project.sandbox.letta.store import Row, public, touch

routes: Final = Routes()

# Members of a block that PATCH takes over.
BLOCK_FIELDS: Final = frozenset(
    {"value", "limit", "label", "read_only", "description", "metadata", "tags", "hidden"}
)


@routes.add("GET", "/agents/{agent_id}/core-memory")
async def get_memory(call: Call) -> Row:
    """Return the whole core memory."""
    agent = call.own("agents", "agent_id")
    memory: Row = agent_shape.show(call.store, agent, {"memory"})["memory"]
    return memory


@routes.add("GET", "/agents/{agent_id}/core-memory/blocks")
async def list_agent_blocks(call: Call) -> list[Row]:
    """Return the agent's blocks."""
    agent = call.own("agents", "agent_id")
    blocks = agent_shape.show(call.store, agent, {"blocks"})["blocks"]
    return page(blocks, call.request.query_params, limit=100)


@routes.add("GET", "/agents/{agent_id}/core-memory/blocks/{block_label}")
async def get_agent_block(call: Call) -> Row:
    """Return the agent's block with a label."""
    return public(_labelled(call))


@routes.add("PATCH", "/agents/{agent_id}/core-memory/blocks/{block_label}")
async def update_agent_block(call: Call) -> Row:
    """Change the agent's block with a label.

    As the real server: it writes through to a block of another organization, if one is attached.
    """
    given = await call.body()
    block = _labelled(call)
    block |= {name: value for name, value in given.items() if name in BLOCK_FIELDS}
    return public(block)


@routes.add("GET", "/agents/{agent_id}/archival-memory")
async def list_passages(call: Call) -> list[Row]:
    """Return the agent's passages; of a foreign agent none, with 200, as the real server."""
    rows = _passages(call)
    query = call.request.query_params
    return page([public(row) for row in rows], query, limit=100, order="asc")


@routes.add("POST", "/agents/{agent_id}/archival-memory")
async def create_passage(call: Call) -> list[Row]:
    """Remember a text."""
    given = await call.body(["text"])
    agent = call.own("agents", "agent_id")
    config = agent["embedding_config"]
    vector = await embeddings.embed(call.world, config, given["text"], call.actor)
    archive = agents.default_archive(call.store, agent, call.actor)
    row = shapes.passage(
        given["text"], config, vector, call.actor, archive_id=archive["id"], tags=given.get("tags")
    )
    return [public(call.store.add("passages", row, call.actor))]


@routes.add("GET", "/agents/{agent_id}/archival-memory/search")
async def search_passages(call: Call) -> Row:
    """Return the passages that contain the words of the query."""
    query = call.query("query")
    if query is None:
        raise missing("query", "query")
    agent = call.own("agents", "agent_id")
    await embeddings.embed(call.world, agent["embedding_config"], query, call.actor)
    found = [
        {
            "id": row["id"],
            "timestamp": row["created_at"].replace("Z", "+00:00"),
            "content": row["text"],
            "tags": row["tags"] or [],
        }
        for row in _passages(call)
        if query.lower() in row["text"].lower()
    ]
    return {"results": found, "count": len(found)}


@routes.add("DELETE", "/agents/{agent_id}/archival-memory/{memory_id}")
async def delete_passage(call: Call) -> Row:
    """Forget a passage."""
    call.own("agents", "agent_id")
    passage = call.own("passages", "memory_id")
    call.store.remove("passages", passage["id"])
    return {"message": f"Memory id={passage['id']} successfully deleted"}


def _passages(call: Call) -> list[Row]:
    actor = call.actor
    agent = call.store.anyones("agents", call.path("agent_id"))
    archives = agent["_archive_ids"] if agent else []
    rows = call.store.own_rows("passages", actor)
    return [row for row in rows if row["archive_id"] in archives]


def _labelled(call: Call) -> Row:
    agent, label = call.own("agents", "agent_id"), call.path("block_label")
    for block_id in agent["_block_ids"]:
        block = call.store.anyones("blocks", block_id)
        if block and block["label"] == label:
            return block if call.request.method == "GET" else _touched(call, agent, block)
    raise DetailError(404, f"No block with label '{label}' found for agent '{agent['id']}'")


def _touched(call: Call, agent: Row, block: Row) -> Row:
    touch(agent, call.actor)
    return block
