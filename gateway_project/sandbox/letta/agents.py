"""Agents: made and changed from a request, with everything that hangs on them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway_project.sandbox.letta import base_tools, messages, shapes
from gateway_project.sandbox.letta.agent_shape import blank
from gateway_project.sandbox.letta.catalogue import resolve_embedding, resolve_llm
from gateway_project.sandbox.letta.ids import new_id, now
from gateway_project.sandbox.letta.problems import DetailError, UnknownError, wrong_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_project.sandbox.letta.store import Actor, Row, Store

_NAME: Final = re.compile(r"[\w \-']+")
_BAD_NAME: Final = (
    "Export failed: Agent name '{}' contains invalid characters. Only letters (any language), "
    "digits, spaces, hyphens, underscores, and apostrophes are allowed. Please avoid "
    'filesystem-unsafe characters like: / \\ : * ? " < > |'
)
_TYPES: Final = (
    ("string", str, ("name", "system", "description", "model", "embedding")),
    ("list", list, ("tags", "tools", "memory_blocks", "block_ids", "tool_ids", "identity_ids")),
    ("list", list, ("source_ids", "folder_ids")),
    ("dictionary", dict, ("metadata", "secrets", "llm_config", "embedding_config")),
)
# Members that create and PATCH take over as they are.
_PLAIN: Final = (
    "description",
    "metadata",
    "system",
    "tags",
    "tool_rules",
    "timezone",
    "max_files_open",
    "per_file_view_window_char_limit",
    "message_buffer_autoclear",
    "enable_sleeptime",
    "hidden",
    "response_format",
    "compaction_settings",
    "model_settings",
    "message_ids",
)


def create(store: Store, given: Mapping[str, Any], actor: Actor) -> Row:
    """Make an agent from a ``CreateAgentRequest``. ``actor_id`` in it is ignored.

    Raises:
        DetailError: 404 for an unknown model handle, 400 for tools that are not there, 500 for a
            bad name (as the real server).
    """
    _check_types(given)
    name = given.get("name") or f"Agent{new_id('')[-6:]}"
    if not _NAME.fullmatch(name):
        raise DetailError(500, _BAD_NAME.format(name))
    agent = blank(name, actor)
    _configure(store, agent, given, actor)
    if agent["llm_config"] is None:
        raise DetailError(
            400, "INVALID_ARGUMENT: Must specify either model or llm_config in request"
        )
    if not agent["compaction_settings"].get("model"):
        handle = {"model": agent["llm_config"].get("handle")}
        agent["compaction_settings"] = agent["compaction_settings"] | handle
    agent["_tool_ids"] = _tools_on_create(store, given, actor)
    for spec in given.get("memory_blocks") or []:
        agent["_block_ids"].append(store.add("blocks", shapes.block(spec), actor)["id"])
    store.add("agents", agent, actor)
    relate(store, agent, given, actor)
    agent["message_ids"] = start_thread(store, agent, actor)
    for first in given.get("initial_message_sequence") or []:
        said = messages.message(
            f"{first['role']}_message", run_id=None, step_id=None, content=first["content"]
        )
        said |= {"_agent_id": agent["id"], "_conversation_id": None}
        agent["message_ids"].append(store.add("messages", said, actor)["id"])
    return agent


def update(store: Store, agent: Row, given: Mapping[str, Any], actor: Actor) -> None:
    """Change an agent as an ``UpdateAgent`` says. The name may be anything here.

    Raises:
        UnknownError: a block in ``block_ids`` does not exist.
    """
    _check_types(given)
    if any(store.anyones("blocks", i) is None for i in given.get("block_ids") or []):
        raise UnknownError
    if given.get("name"):
        agent["name"] = given["name"]
    _configure(store, agent, given, actor)
    relate(store, agent, given, actor)
    if given.get("tool_ids") is not None:
        # As the real server: PATCH does not ask whose tools these are.
        agent["_tool_ids"] = [i for i in given["tool_ids"] if store.anyones("tools", i)]


def relate(store: Store, agent: Row, given: Mapping[str, Any], actor: Actor) -> None:
    """Attach the blocks, folders, identities and secrets that a request names.

    As the real server: nobody asks which organization the ids belong to. Through the attach
    routes the same ids are checked.
    """
    for field, table, member in (
        ("block_ids", "blocks", "_block_ids"),
        ("source_ids", "sources", "_source_ids"),
        ("folder_ids", "sources", "_source_ids"),
        ("identity_ids", "identities", "_identity_ids"),
    ):
        if given.get(field) is not None:
            kept = [i for i in given[field] if store.anyones(table, i)]
            before = agent[member] if field == "block_ids" and not agent["message_ids"] else []
            agent[member] = [*before, *kept]
    for source_id in agent["_source_ids"]:
        open_files(store, agent, source_id, actor)
    named = (given.get("secrets"), given.get("tool_exec_environment_variables"))
    secrets = next((values for values in named if values is not None), None)
    if secrets is not None:
        agent["_secrets"] = [shapes.secret(agent["id"], k, v, actor) for k, v in secrets.items()]


def start_thread(
    store: Store, agent: Row, actor: Actor, conversation_id: str | None = None
) -> list[str]:
    """Add the system prompt with which a thread begins, and return its ids in context."""
    first = messages.message("system_message", run_id=None, step_id=None, content=agent["system"])
    first |= {"otid": None, "_agent_id": agent["id"], "_conversation_id": conversation_id}
    store.add("messages", first, actor)
    return [first["id"]]


def open_files(store: Store, agent: Row, source_id: str, actor: Actor) -> None:
    """Open the files of an attached folder and give the agent the tools to read them."""
    known = {f["file_id"] for f in store.anyones_rows("file_agents") if f["_agent"] == agent["id"]}
    for file in store.anyones_rows("files"):
        if file["source_id"] == source_id and file["id"] not in known:
            store.add("file_agents", _opened(store, agent, file), actor)
    by_name = {tool["name"]: tool["id"] for tool in store.own_rows("tools", actor)}
    for name in base_tools.FILE_TOOLS:
        if name in by_name and by_name[name] not in agent["_tool_ids"]:
            agent["_tool_ids"].append(by_name[name])


def default_archive(store: Store, agent: Row, actor: Actor) -> Row:
    """Return the archive of an agent's archival memory, made on first use."""
    for archive_id in agent["_archive_ids"]:
        if archive := store.anyones("archives", archive_id):
            return archive
    archive = shapes.archive(f"{agent['name']}'s Archive", None, agent["embedding_config"], actor)
    store.add("archives", archive, actor)
    agent["_archive_ids"].append(archive["id"])
    return archive


def delete(store: Store, agent: Row) -> None:
    """Delete an agent with its messages, runs, steps and conversations."""
    store.remove("agents", agent["id"])
    for table in ("messages", "file_agents"):
        store.remove_where(
            table, lambda row: row.get("_agent_id", row.get("_agent")) == agent["id"]
        )
    for table in ("runs", "steps", "conversations"):
        store.remove_where(table, lambda row: row["agent_id"] == agent["id"])


def _check_types(given: Mapping[str, Any]) -> None:
    """Refuse members of a wrong type.

    Raises:
        InvalidError: the first of them.
    """
    for kind, expected, names in _TYPES:
        for name in names:
            if not isinstance(given.get(name), expected | None):
                raise wrong_type(kind, "body", name, given=given[name])


def _configure(store: Store, agent: Row, given: Mapping[str, Any], actor: Actor) -> None:
    compaction = agent["compaction_settings"] | (given.get("compaction_settings") or {})
    agent |= {field: given[field] for field in _PLAIN if given.get(field) is not None}
    agent["compaction_settings"] = compaction
    # As the real server: whoever changes the window has the model looked up anew.
    handle = given.get("model") or (agent["model"] if given.get("context_window_limit") else None)
    if handle and not given.get("llm_config"):
        agent["llm_config"] = resolve_llm(store, actor, handle)
        agent["model"] = handle
    if given.get("llm_config"):
        # As the real server: the caller may name any endpoint, and it will be called.
        agent["llm_config"] = {"model_endpoint_type": "openai", **given["llm_config"]}
        agent["model"] = given["llm_config"].get("handle") or agent["model"]
    if given.get("embedding"):
        agent["embedding_config"] = resolve_embedding(store, actor, given["embedding"])
        agent["embedding"] = given["embedding"]
    if given.get("embedding_config"):
        agent["embedding_config"] = given["embedding_config"]
        agent["embedding"] = given["embedding_config"].get("handle") or agent["embedding"]
    if agent["llm_config"] and given.get("context_window_limit"):
        limit = given["context_window_limit"]
        agent["llm_config"] = agent["llm_config"] | {"context_window": limit}


def _tools_on_create(store: Store, given: Mapping[str, Any], actor: Actor) -> list[str]:
    names = list(given.get("tools") or [])
    if given.get("include_base_tools", True):
        names += base_tools.AGENT_TOOLS
    by_name = {tool["name"]: tool["id"] for tool in store.own_rows("tools", actor)}
    absent = sorted(set(names) - by_name.keys())
    if absent:
        raise DetailError(400, f"Tools not found by name: {set(absent)}")
    ids = given.get("tool_ids") or []
    for tool_id in ids:
        if tool_id not in by_name.values():
            raise DetailError(400, f"Tools not found by id:   {{'{tool_id}'}}")
    return list(dict.fromkeys([*ids, *(by_name[name] for name in names)]))


def _opened(store: Store, agent: Row, file: Row) -> Row:
    folder = store.anyones("sources", file["source_id"]) or {"name": ""}
    return {
        "id": new_id("file_agent"),
        "file_id": file["id"],
        "file_name": file["file_name"],
        "folder_id": file["source_id"],
        "folder_name": folder["name"],
        "is_open": True,
        "last_accessed_at": now(),
        "visible_content": "[Viewing file start]\n" + (file.get("_content") or ""),
        "start_line": None,
        "end_line": None,
        "_agent": agent["id"],
    }
