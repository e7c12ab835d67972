"""Folders and their files. ``/sources`` is the same by its old name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from gateway_core.tasks import spawn
from gateway_project.sandbox.letta import embeddings, shapes, uploads
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.catalogue import resolve_embedding
from gateway_project.sandbox.letta.ids import now
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import (
    DetailError,
    EmbeddingError,
    UnknownError,
    duplicate,
)
from gateway_project.sandbox.letta.store import Row, public, touch

if TYPE_CHECKING:
    from gateway_project.sandbox.letta.store import Actor
    from gateway_project.sandbox.letta.world import World

routes: Final = Routes()

_CREATE_FIELDS: Final = frozenset(
    {
        "name",
        "description",
        "instructions",
        "metadata",
        "embedding",
        "embedding_chunk_size",
        "embedding_config",
    }
)
_UPDATE_FIELDS: Final = ("name", "description", "instructions", "metadata", "embedding_config")
# Measured: larger uploads are accepted and fail while they are parsed.
_PARSED_BYTES: Final = 52_428_800


@routes.add("GET", "/folders/", "/sources/")
async def list_folders(call: Call) -> list[Row]:
    """Return the organization's folders."""
    name = call.query("name")
    rows = [r for r in call.store.own_rows("sources", call.actor) if name in {None, r["name"]}]
    shown = [_shown(call, row) for row in rows]
    among = call.store.anyones_rows("sources")
    return page(shown, call.request.query_params, order="asc", among=among)


@routes.add("GET", "/folders/count", "/sources/count")
async def count_folders(call: Call) -> int:
    """Return how many folders the organization has."""
    return len(call.store.own_rows("sources", call.actor))


@routes.add("GET", "/folders/name/{folder_name}", "/sources/name/{folder_name}")
async def find_folder(call: Call) -> str:
    """Return the id of the folder with a name."""
    for row in call.store.own_rows("sources", call.actor):
        if row["name"] == call.path("folder_name"):
            return str(row["id"])
    raise DetailError(404, f"Source with name={call.path('folder_name')} not found.")


@routes.add("POST", "/folders/", "/sources/")
async def create_folder(call: Call) -> Row:
    """Make a folder."""
    given = await call.body(["name"], allowed=_CREATE_FIELDS)
    config, handle = given.get("embedding_config"), given.get("embedding")
    if handle:
        config = resolve_embedding(call.store, call.actor, handle)
    if config is None:
        text = "Must specify either embedding or embedding_config in request"
        raise DetailError(400, f"INVALID_ARGUMENT: {text}")
    if any(row["name"] == given["name"] for row in call.store.own_rows("sources", call.actor)):
        key = f"(name, organization_id)=({given['name']}, {call.actor.organization_id})"
        raise duplicate("Source", "uq_source_name_organization", key)
    row = shapes.source(given, config, call.actor)
    return _shown(call, call.store.add("sources", row, call.actor))


@routes.add("GET", "/folders/{folder_id}", "/sources/{folder_id}")
async def get_folder(call: Call) -> Row:
    """Return one folder."""
    return _shown(call, call.own("sources", "folder_id"))


@routes.add("PATCH", "/folders/{folder_id}", "/sources/{folder_id}")
async def update_folder(call: Call) -> Row:
    """Change a folder."""
    given = await call.body(allowed=_UPDATE_FIELDS)
    folder = touch(call.own("sources", "folder_id"), call.actor)
    folder |= {name: given[name] for name in _UPDATE_FIELDS if given.get(name) is not None}
    return _shown(call, folder)


@routes.add("DELETE", "/folders/{folder_id}", "/sources/{folder_id}")
async def delete_folder(call: Call) -> None:
    """Delete a folder with its files and passages, and detach it everywhere."""
    folder_id = call.own("sources", "folder_id")["id"]
    call.store.remove("sources", folder_id)
    for table in ("files", "passages"):
        call.store.remove_where(table, lambda row: row["source_id"] == folder_id)
    call.store.remove_where("file_agents", lambda row: row["folder_id"] == folder_id)
    for agent in call.store.anyones_rows("agents"):
        agent["_source_ids"] = [i for i in agent["_source_ids"] if i != folder_id]


@routes.add("GET", "/folders/{folder_id}/agents", "/sources/{folder_id}/agents")
async def list_folder_agents(call: Call) -> list[str]:
    """Return the ids of the agents with this folder."""
    folder = call.own("sources", "folder_id")
    rows = call.store.own_rows("agents", call.actor)
    attached = [row for row in rows if folder["id"] in row["_source_ids"]]
    return [row["id"] for row in page(attached, call.request.query_params)]


@routes.add("POST", "/folders/{folder_id}/upload", "/sources/{folder_id}/upload")
async def upload(call: Call) -> Row:
    """Take a file. The real server holds all of it in memory; here only its beginning is kept."""
    actor = call.actor
    received = await uploads.receive(call.request)
    folder = call.own("sources", "folder_id")
    uploads.check_type(received)
    name, present = _placed(call, folder, call.query("name") or received.name)
    if present and call.query("duplicate_handling") == "skip":
        return public(present)
    if present:
        call.store.remove("files", present["id"])
    row = shapes.file(
        folder, name, media_type=received.media_type, size_bytes=received.size_bytes, actor=actor
    )
    row |= {"_content": received.text, "_sha256": received.sha256}
    call.store.add("files", row, actor)
    answer = public(row)
    spawn(_parse(call.world, folder, row, actor), name=row["id"])
    return answer


@routes.add("GET", "/folders/{folder_id}/files", "/sources/{folder_id}/files")
async def list_files(call: Call) -> list[Row]:
    """Return a folder's files; of a foreign folder none, with 200, as the real server."""
    rows = call.store.own_rows("files", call.actor)
    kept = [_file(call, row) for row in rows if row["source_id"] == call.path("folder_id")]
    return page(kept, call.request.query_params, limit=1000)


@routes.add("GET", "/folders/{folder_id}/files/{file_id}", "/sources/{folder_id}/files/{file_id}")
async def get_file(call: Call) -> Row:
    """Return one file; a foreign one is a 500, as the real server."""
    row = call.store.anyones("files", call.path("file_id"))
    if row is None or row["_org"] != call.actor.organization_id:
        raise UnknownError
    if row["source_id"] != call.path("folder_id"):
        text = f"File with id={row['id']} not found in folder {call.path('folder_id')}"
        raise DetailError(404, text)
    return _file(call, row)


@routes.add("DELETE", "/folders/{folder_id}/{file_id}", "/sources/{folder_id}/{file_id}")
async def delete_file(call: Call) -> Response:
    """Delete a file."""
    row = call.own("files", "file_id")
    call.store.remove("files", row["id"])
    call.store.remove_where("passages", lambda p: p["file_id"] == row["id"])
    call.store.remove_where("file_agents", lambda f: f["file_id"] == row["id"])
    return Response(status_code=204)


@routes.add("GET", "/folders/{folder_id}/passages", "/sources/{folder_id}/passages")
async def list_folder_passages(call: Call) -> list[Row]:
    """Return a folder's passages; of a foreign folder none, with 200, as the real server."""
    rows = call.store.own_rows("passages", call.actor)
    kept = [public(row) for row in rows if row["source_id"] == call.path("folder_id")]
    return page(kept, call.request.query_params, limit=100)


async def _parse(world: World, folder: Row, file: Row, actor: Actor) -> None:
    """Let the file's status go from ``parsing`` to its end."""
    await asyncio.sleep(world.parsing_seconds)
    fault = f"PDF size exceeds maximum allowed size of {_PARSED_BYTES} bytes"
    if file["file_size"] <= _PARSED_BYTES:
        fault = await _embed(world, folder, file, actor)
    if fault:
        file |= {"processing_status": "error", "error_message": fault}
    else:
        file |= {"processing_status": "completed", "total_chunks": 1, "chunks_embedded": 1}
    file["updated_at"] = now()


async def _embed(world: World, folder: Row, file: Row, actor: Actor) -> str:
    """Add the passage of a file. Return what went wrong."""
    config = folder["embedding_config"]
    try:
        vector = await embeddings.embed(world, config, file["_content"], actor)
    except EmbeddingError as exc:
        return exc.fault
    origin = {"source_id": folder["id"], "file_id": file["id"], "file_name": file["file_name"]}
    row = shapes.passage(file["_content"].strip(), config, vector, actor, **origin)
    world.store.add("passages", row, actor)
    return ""


def _placed(call: Call, folder: Row, name: str) -> tuple[str, Row | None]:
    """Return the name under which a file is kept, and the file that has it already."""
    path = f"{folder['name']}/{name}"
    rows = call.store.own_rows("files", call.actor)
    here = {row["file_name"]: row for row in rows if row["source_id"] == folder["id"]}
    match call.query("duplicate_handling") or "suffix":
        case "error" if path in here:
            text = f"File '{name}' already exists in folder '{folder['name']}'"
            raise DetailError(400, f"INVALID_ARGUMENT: {text}")
        case "replace" | "skip":
            return name, here.get(path)
        case _:
            taken = {file_name.partition("/")[2] for file_name in here}
            return _free_name(name, taken), None


def _free_name(name: str, taken: set[str]) -> str:
    stem, dot, extension = name.rpartition(".")
    number, free = 0, name
    while free in taken:
        number += 1
        free = f"{stem}_({number}).{extension}" if dot else f"{name}_({number})"
    return free


def _file(call: Call, row: Row) -> Row:
    """Return a file as lists carry it: without its folder's name."""
    shown = public(row) | {"file_name": row["file_name"].partition("/")[2]}
    if call.flag("include_content"):
        shown["content"] = row["_content"]
    return shown


def _shown(call: Call, row: Row) -> Row:
    folder = public(row)
    return (
        folder | {"vector_db_provider": "native"} if "/sources" in str(call.request.url) else folder
    )
