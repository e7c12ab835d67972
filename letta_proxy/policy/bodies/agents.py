"""Agents, their tools and their files."""

from __future__ import annotations

import re
from typing import Final

from letta_proxy.models import Kind
from letta_proxy.policy.bodies.members import (
    ANY,
    CHUNK,
    COMPACTION,
    DROPPED,
    EMBEDDING,
    MODEL,
    MODEL_SETTINGS,
    NO_PROJECTS,
    NUMBER,
    USE_EMBEDDING,
)
from letta_proxy.policy.bodies.memory import BLOCK
from letta_proxy.policy.bodies.messages import MESSAGE
from letta_proxy.policy.rules import Each, Fields, Id, Refused, Rule, Text, ToolName, ids

_USE_MODEL: Final = Refused("Name a model in `model` instead.")
_NO_SECRETS: Final = Refused("Tools run without secrets here.")

# The same rule as Letta's for .af file names; its answer to a bad name is a 500 (measured).
_AGENT_NAME: Final = re.compile(r"[\w '\-]+").fullmatch


def _agent_name_complaint(name: str) -> str:
    if _AGENT_NAME(name):
        return ""
    return "may only have letters, digits, spaces, hyphens, underscores and apostrophes"


_VOICE: Final = "voice_"


def _agent_type_complaint(agent_type: str) -> str:
    """With a voice agent Letta makes another one that calls OpenAI with the server's own key."""
    return "must be a type of agent without a voice" if agent_type.startswith(_VOICE) else ""


_MEMORY: Final = "{CORE_MEMORY}"


def _system_complaint(system: str) -> str:
    """Letta puts all memory in the place of each: a thousand made a prompt of 20 MB (measured)."""
    return f"may have {_MEMORY} once only" if system.count(_MEMORY) > 1 else ""


_AGENT: Final[dict[str, Rule]] = {
    "name": Text(_agent_name_complaint),
    "description": ANY,
    "system": Text(_system_complaint),
    "tags": ANY,
    "metadata": ANY,
    "timezone": ANY,
    "hidden": ANY,
    "model": MODEL,
    "embedding": EMBEDDING,
    "model_settings": MODEL_SETTINGS,
    "compaction_settings": COMPACTION,
    "context_window_limit": NUMBER,
    "max_tokens": NUMBER,
    "reasoning": ANY,
    "parallel_tool_calls": ANY,
    "response_format": ANY,
    "tool_rules": ANY,
    "message_buffer_autoclear": ANY,
    "enable_sleeptime": ANY,
    "max_files_open": NUMBER,
    "per_file_view_window_char_limit": NUMBER,
    # Measured: Letta attaches other organizations' things when these name them.
    "block_ids": ids(Kind.BLOCK),
    "folder_ids": ids(Kind.FOLDER),
    "source_ids": ids(Kind.FOLDER),
    "identity_ids": ids(Kind.IDENTITY),
    "tool_ids": ids(Kind.TOOL),
    # Measured: Letta sends its own key to whatever endpoint stands in these.
    "llm_config": _USE_MODEL,
    "embedding_config": USE_EMBEDDING,
    "tool_exec_environment_variables": _NO_SECRETS,
    "secrets": _NO_SECRETS,
    "project_id": NO_PROJECTS,
    "template_id": NO_PROJECTS,
    "base_template_id": NO_PROJECTS,
}
CREATE: Final = Fields(
    fields=_AGENT
    | {
        "agent_type": Text(_agent_type_complaint),
        "memory_blocks": Each(BLOCK),
        "tools": Each(ToolName()),
        "include_base_tools": ANY,
        "include_base_tool_rules": ANY,
        "include_multi_agent_tools": Refused("Agents can't send messages to other agents here."),
        "include_default_source": Refused("Create a folder and name it in `folder_ids` instead."),
        "initial_message_sequence": Each(MESSAGE),
        "embedding_chunk_size": CHUNK,
        "enable_reasoner": ANY,
        "max_reasoning_tokens": NUMBER,
        "from_template": NO_PROJECTS,
        "template": DROPPED,
        "project": NO_PROJECTS,
        "memory_variables": NO_PROJECTS,
        "actor_id": DROPPED,
    }
)
UPDATE: Final = Fields(
    fields=_AGENT
    | {
        "message_ids": Refused("Reset or compact the messages instead."),
        "last_run_completion": DROPPED,
        "last_run_duration_ms": DROPPED,
        "last_stop_reason": DROPPED,
    }
)
APPROVAL: Final = Fields(fields={"requires_approval": ANY})
EXPORT: Final = Fields(
    fields={
        "conversation_id": Id(Kind.CONVERSATION),
        "scrub_messages": ANY,
        "skills": Refused("Skills can't be added to an export here."),
    }
)
