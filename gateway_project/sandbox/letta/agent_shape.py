"""Agents as the wire carries them: what a new one looks like, and one with all its relations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway_project.sandbox.letta import shapes
from gateway_project.sandbox.letta.ids import new_id
from gateway_project.sandbox.letta.store import public

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway_project.sandbox.letta.store import Actor, Row, Store

SYSTEM_PROMPT: Final = (
    "<base_instructions>\nYou are a helpful self-improving agent with advanced memory and file "
    "system capabilities.\nMemory blocks are embedded within your system instructions and remain "
    "constantly available in-context.\nContinue executing and calling tools until the current "
    "task is complete.\nBase instructions complete.\n</base_instructions>"
)
RELATIONS: Final = frozenset(
    {"blocks", "identities", "memory", "secrets", "sources", "tags", "tools"}
)
_MODEL_SETTINGS: Final = {
    "max_output_tokens": 16384,
    "parallel_tool_calls": True,
    "provider_type": "openai",
    "temperature": 1.0,
    "reasoning": {"reasoning_effort": "minimal"},
    "response_format": None,
    "strict": False,
}
_COMPACTION_SETTINGS: Final = {
    "model": None,
    "model_settings": None,
    "prompt": "Write a detailed summary of the messages that leave your context window.",
    "prompt_acknowledgement": False,
    "clip_chars": 50000,
    "mode": "sliding_window",
    "sliding_window_percentage": 0.3,
}


def blank(name: str, actor: Actor) -> Row:
    """Return an agent with a name and nothing else."""
    unset = ("project_id", "template_id", "base_template_id", "deployment_id", "entity_id")
    return {
        **shapes.authorship(actor),
        "id": new_id("agent"),
        "name": name,
        "tool_rules": [],
        "message_ids": [],
        "system": SYSTEM_PROMPT,
        "agent_type": "letta_v1_agent",
        "llm_config": None,
        "embedding_config": None,
        "model": None,
        "embedding": None,
        "model_settings": dict(_MODEL_SETTINGS),
        "compaction_settings": dict(_COMPACTION_SETTINGS),
        "response_format": None,
        "description": None,
        "metadata": None,
        "tags": [],
        **dict.fromkeys(unset),
        "pending_approval": None,
        "message_buffer_autoclear": False,
        "enable_sleeptime": None,
        "multi_agent_group": None,
        "managed_group": None,
        "last_run_completion": None,
        "last_run_duration_ms": None,
        "last_stop_reason": None,
        "timezone": "UTC",
        "max_files_open": 5,
        "per_file_view_window_char_limit": 15000,
        "hidden": None,
        "_block_ids": [],
        "_source_ids": [],
        "_tool_ids": [],
        "_identity_ids": [],
        "_archive_ids": [],
        "_secrets": [],
        "_pending": None,
    }


def show(store: Store, agent: Row, relations: Iterable[str] = RELATIONS) -> Row:
    """Return an agent as the wire carries it, with the relations that were asked for.

    Attached rows are shown whosever they are, values and code and secrets included, as the real
    server does.
    """
    wanted = set(relations)
    blocks = _attached(store, "blocks", agent["_block_ids"])
    with_blocks = wanted & {"blocks", "memory"}
    secrets = agent["_secrets"] if "secrets" in wanted else []
    return public(agent) | {
        "memory": {
            "agent_type": agent["agent_type"],
            "git_enabled": False,
            "blocks": blocks if with_blocks else [],
            "file_blocks": _file_blocks(store, agent) if with_blocks else [],
            "prompt_template": "",
        },
        "blocks": blocks if with_blocks else [],
        "tools": _attached(store, "tools", agent["_tool_ids"]) if "tools" in wanted else [],
        "sources": _sources(store, agent) if "sources" in wanted else [],
        "tags": agent["tags"] if "tags" in wanted else [],
        "tool_exec_environment_variables": secrets,
        "secrets": secrets,
        "identity_ids": agent["_identity_ids"] if "identities" in wanted else [],
        "identities": _attached(store, "identities", agent["_identity_ids"])
        if "identities" in wanted
        else [],
    }


def _attached(store: Store, table: str, row_ids: Iterable[str]) -> list[Row]:
    return [public(row) for i in row_ids if (row := store.anyones(table, i)) is not None]


def _file_blocks(store: Store, agent: Row) -> list[Row]:
    opened = [row for row in store.anyones_rows("file_agents") if row["_agent"] == agent["id"]]
    return [
        {
            "file_id": row["file_id"],
            "source_id": row["folder_id"],
            "label": row["file_name"],
            "is_open": row["is_open"],
            "value": row["visible_content"] if row["is_open"] else "",
            "limit": agent["per_file_view_window_char_limit"],
            "last_accessed_at": row["last_accessed_at"],
        }
        for row in opened
    ]


def _sources(store: Store, agent: Row) -> list[Row]:
    rows = _attached(store, "sources", agent["_source_ids"])
    return [row | {"vector_db_provider": "native"} for row in rows]
