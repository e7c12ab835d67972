"""All that an agent is, as values: for copies, export files, and the way back from an upgrade.

The body is in the form of Letta's creation bodies and goes through the same rules as a caller's, so
a snapshot may come from anybody: it can hold neither code nor addresses nor secrets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Members of an agent in Letta that its creation takes as they are.
_TAKEN: Final = (
    "name",
    "description",
    "system",
    "agent_type",
    "model",
    "embedding",
    "model_settings",
    "timezone",
    "tool_rules",
    "message_buffer_autoclear",
    "max_files_open",
    "per_file_view_window_char_limit",
    "response_format",
    "metadata",
    "tags",
)
_OF_BLOCK: Final = ("label", "value", "limit", "description", "read_only", "metadata")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An agent at a moment.

    Attributes:
        body: what Letta would make it from again, without messages.
        passages: ``{text, tags, created_at}`` of its archive.
        messages: those in its context, empty when they were not asked for.
    """

    body: Mapping[str, Any]
    passages: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    messages: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


def body_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the creation body of an agent as Letta shows it."""
    body = {name: document[name] for name in _TAKEN if document.get(name) is not None}
    window = (document.get("llm_config") or {}).get("context_window")
    if window:
        body["context_window_limit"] = window
    body["tools"] = [tool["name"] for tool in document.get("tools") or ()]
    body["memory_blocks"] = [block_of(block) for block in document.get("blocks") or ()]
    body["include_base_tools"] = False
    return body


def block_of(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the creation body of a block as Letta shows it."""
    return {name: block[name] for name in _OF_BLOCK if block.get(name) is not None}


def with_initial_blocks(
    blocks: Iterable[Mapping[str, Any]], initial: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return an agent's blocks without what it has learned.

    Those that it was made with begin as they did then; of others only read-only ones keep their
    text, which no agent has written.
    """
    begun = {block["label"]: block for block in initial}
    fresh = []
    for block in blocks:
        label = block["label"]
        if label in begun:
            fresh.append({**block, **begun[label]})
        else:
            fresh.append(dict(block) if block.get("read_only") else {**block, "value": ""})
    return fresh
