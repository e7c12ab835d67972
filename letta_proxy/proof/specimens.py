"""Requests that are right in themselves, so that only whose things they name can be wrong.

``{name}`` stands for an id or word of whoever sends the request. An operation that needs something
and does not stand here fails the proof: its owner is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from letta_proxy.translate import AGENT_HAS_ARCHIVE, TOO_LITTLE_TO_COMPACT

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAY: Final = {"input": "{canary}"}
_BLOCK: Final = {"value": "{canary}"}
_PASSAGE: Final = {"text": "{canary}"}
# How many messages Letta would leave otherwise depends on how many there are.
_ALL: Final = {"compaction_settings": {"mode": "all"}}

BODIES: Final[Mapping[str, Any]] = {
    "compact_conversation": _ALL,
    "create_agent": {"name": "{fresh}", "model": "{model}", "embedding": "{embedding}"},
    "create_agent_message_async": _SAY,
    "create_agent_message_stream": _SAY,
    "create_archive": {"name": "{fresh}", "embedding": "{embedding}"},
    "create_block": {"label": "proof", "value": "{canary}"},
    "create_chat_completion": {
        "model": "{agent_id}",
        "messages": [{"role": "user", "content": "{canary}"}],
        "stream": True,
    },
    "create_conversation": {"summary": "{canary}"},
    "create_folder": {"name": "{fresh}", "embedding": "{embedding}"},
    "create_passage": _PASSAGE,
    "create_passage_in_archive": _PASSAGE,
    "create_passages_in_archive": {"passages": [_PASSAGE]},
    "generate_completion": {"prompt": "{canary}"},
    "modify_agent": {"description": "{canary} again"},
    "modify_approval_for_tool": {"requires_approval": False},
    "modify_archive": {"description": "{canary} again"},
    "modify_block": _BLOCK,
    "modify_core_memory_block": _BLOCK,
    "modify_feedback_for_step": {"feedback": "positive"},
    "modify_folder": {"description": "{canary} again"},
    "search_passages": {"query": "{canary}", "agent_id": "{agent_id}"},
    "send_conversation_message": _SAY,
    "send_message": _SAY,
    "summarize_messages": _ALL,
    "update_conversation": {"summary": "{canary} again"},
}
QUERIES: Final[Mapping[str, Mapping[str, str]]] = {
    "create_conversation": {"agent_id": "{agent_id}"},
    "modify_approval_for_tool": {"requires_approval": "false"},
    "search_archival_memory": {"query": "{canary}"},
}
# What an owner may be told instead of success, because of the state that the thing is in: status,
# and how the detail begins.
REFUSALS: Final[Mapping[str, tuple[int, str]]] = {
    "attach_archive_to_agent": (409, AGENT_HAS_ARCHIVE),
    "cancel_conversation": (409, "No active runs to cancel"),
    # It has just been compacted under another name.
    "compact_conversation": (400, TOO_LITTLE_TO_COMPACT),
    "retrieve_conversation_stream": (400, "No active runs found"),
    "retrieve_stream_for_run": (400, "Run was not created in background mode"),
    # Needs a store of traces that Letta 0.16.8 has in Letta's own cloud only.
    "retrieve_trace_for_run": (403, "Letta can't do this in this installation."),
}
# What goes on after the answer, which names the run; until it is over the agent's messages change.
IN_BACKGROUND: Final = frozenset({"create_agent_message_async"})
# What takes all messages out of an agent's sight.
EMPTYING: Final = frozenset({"reset_messages"})
# Where Letta takes nothing but a conversation's own id.
WITHOUT_ALIASES: Final = frozenset({"retrieve_conversation", "update_conversation"})


def fill(specimen: Any, words: Mapping[str, str]) -> Any:
    """Return a specimen with the words in place of their names."""
    if isinstance(specimen, str):
        return specimen.format_map(words)
    if isinstance(specimen, list):
        return [fill(item, words) for item in specimen]
    if isinstance(specimen, dict):
        return {name: fill(item, words) for name, item in specimen.items()}
    return specimen
