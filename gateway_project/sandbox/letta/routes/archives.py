"""Archives and their passages, and the search over passages."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from starlette.responses import Response

from gateway_project.sandbox.letta import agent_shape, embeddings, shapes
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.catalogue import resolve_embedding
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.store import Row, public, touch

routes: Final = Routes()


@routes.add("GET", "/archives/")
async def list_archives(call: Call) -> list[Row]:
    """Return the organization's archives, of one agent if asked; a foreign agent is a 404."""
    rows = call.store.own_rows("archives", call.actor)
    if agent_id := call.query("agent_id"):
        agent = call.store.own("agents", agent_id, call.actor)
        rows = [row for row in rows if row["id"] in agent["_archive_ids"]]
    name = call.query("name")
    kept = [public(row) for row in rows if name in {None, row["name"]}]
    return page(kept, call.request.query_params, among=call.store.anyones_rows("archives"))


@routes.add("POST", "/archives/")
async def create_archive(call: Call) -> Row:
    """Make an archive."""
    given = await call.body(["name"])
    config = given.get("embedding_config")
    if given.get("embedding"):
        config = resolve_embedding(call.store, call.actor, given["embedding"])
    row = shapes.archive(given["name"], given.get("description"), config, call.actor)
    return public(call.store.add("archives", row, call.actor))


@routes.add("GET", "/archives/{archive_id}")
async def get_archive(call: Call) -> Row:
    """Return one archive."""
    return public(call.own("archives", "archive_id"))


@routes.add("PATCH", "/archives/{archive_id}")
async def update_archive(call: Call) -> Row:
    """Change an archive."""
    given = await call.body()
    archive = touch(call.own("archives", "archive_id"), call.actor)
    archive |= {name: given[name] for name in ("name", "description") if name in given}
    return public(archive)


@routes.add("DELETE", "/archives/{archive_id}")
async def delete_archive(call: Call) -> Response:
    """Delete an archive with its passages."""
    archive = call.own("archives", "archive_id")
    call.store.remove("archives", archive["id"])
    call.store.remove_where("passages", lambda row: row["archive_id"] == archive["id"])
    return Response(status_code=204)


@routes.add("GET", "/archives/{archive_id}/agents")
async def list_archive_agents(call: Call) -> list[Row]:
    """Return the own agents with an archive; for a foreign archive none, with 200."""
    archive_id = call.path("archive_id")
    rows = call.store.own_rows("agents", call.actor)
    attached = [row for row in rows if archive_id in row["_archive_ids"]]
    included = [name.removeprefix("agent.") for name in call.many("include")]
    shown = page(attached, call.request.query_params)
    return [agent_shape.show(call.store, row, included) for row in shown]


@routes.add("POST", "/archives/{archive_id}/passages")
async def create_archive_passage(call: Call) -> Row:
    """Put a passage into an archive."""
    given = await call.body(["text"])
    (row,) = await _insert(call, call.own("archives", "archive_id"), [given])
    return row


@routes.add("POST", "/archives/{archive_id}/passages/batch")
async def create_archive_passages(call: Call) -> list[Row]:
    """Put several passages into an archive."""
    given = await call.body(["passages"])
    archive = call.own("archives", "archive_id")
    return await _insert(call, archive, given["passages"])


@routes.add("DELETE", "/archives/{archive_id}/passages/{passage_id}")
async def delete_archive_passage(call: Call) -> Response:
    """Delete a passage of an archive."""
    call.own("archives", "archive_id")
    call.store.remove("passages", call.own("passages", "passage_id")["id"])
    return Response(status_code=204)


@routes.add("POST", "/passages/search")
async def search_passages(call: Call) -> list[Row]:
    """Return the organization's passages that contain the query."""
    given = await call.body()
    rows = [row for row in call.store.own_rows("passages", call.actor) if row["archive_id"]]
    if given.get("agent_id"):
        agent = call.store.own("agents", given["agent_id"], call.actor)
        rows = [row for row in rows if row["archive_id"] in agent["_archive_ids"]]
    if given.get("archive_id"):
        archive = call.store.own("archives", given["archive_id"], call.actor)
        rows = [row for row in rows if row["archive_id"] == archive["id"]]
    words, since = (given.get("query") or "").lower(), given.get("start_date")
    if since:
        rows = [row for row in rows if _moment(row["created_at"]) >= _moment(since)]
    rows.sort(key=lambda row: (_moment(row["created_at"]), row["id"]))
    found = [row for row in rows if words in row["text"].lower()][: given.get("limit", 50)]
    return [{"passage": public(row), "score": 1.0, "metadata": {}} for row in found]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def _insert(call: Call, archive: Row, given: list[dict[str, Any]]) -> list[Row]:
    config = archive["embedding_config"]
    texts = [passage["text"] for passage in given]
    vectors = await embeddings.embed_all(call.world, config, texts, call.actor)
    rows = [
        shapes.passage(
            passage["text"],
            config,
            vector,
            call.actor,
            archive_id=archive["id"],
            tags=passage.get("tags"),
            metadata=passage.get("metadata"),
        )
        for passage, vector in zip(given, vectors, strict=True)
    ]
    for row, passage in zip(rows, given, strict=True):
        row["created_at"] = passage.get("created_at") or row["created_at"]
    return [public(call.store.add("passages", row, call.actor)) for row in rows]
