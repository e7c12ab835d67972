"""The bodies that callers send, field by field. What is not named here is not forwarded.

Field names are those of Letta 0.16.8's OpenAPI document.
"""

from __future__ import annotations

import re
from typing import Final

from django.conf import settings

from letta_proxy.models import Kind
from letta_proxy.policy.content import Content
from letta_proxy.policy.rules import (
    Anything,
    Dropped,
    Each,
    EmbeddingHandle,
    Fields,
    Id,
    ModelHandle,
    Refused,
    Rule,
    Text,
    ToolName,
    Whole,
    ids,
)

ANY: Final = Anything()
DROPPED: Final = Dropped()
TEXT: Final = Text()
# What Letta's INTEGER columns hold. It keeps a larger context window, and then fails at each turn
# (measured).
_MOST: Final = 2**31 - 1
NUMBER: Final = Whole(minimum=-_MOST - 1, maximum=lambda: _MOST)
_CHUNK: Final = Whole(minimum=1, maximum=lambda: _MOST)
# Like openai-proxy/gpt-4o-mini and openai/text-embedding-3-small.
MODEL: Final = ModelHandle()
EMBEDDING: Final = EmbeddingHandle()

_USE_MODEL: Final = Refused("Name a model in `model` instead.")
_USE_EMBEDDING: Final = Refused("Name an embedding model in `embedding` instead.")
_NO_SECRETS: Final = Refused("Tools run without secrets here.")
_NO_PROJECTS: Final = Refused("Projects and Letta's own templates are not used here.")

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


# Letta's own limit of a block, when none is set.
_BLOCK_CHARACTERS: Final = 100_000


def _value_complaint(value: str) -> str:
    if len(value) <= _BLOCK_CHARACTERS:
        return ""
    return f"must have at most {_BLOCK_CHARACTERS} characters"


_MODEL_SETTINGS: Final = Fields(
    fields=dict.fromkeys(
        (
            "effort",
            "parallel_tool_calls",
            "provider_type",
            "reasoning",
            "response_format",
            "response_schema",
            "strict",
            "temperature",
            "thinking",
            "thinking_config",
            "tool_call_parser",
            "verbosity",
        ),
        ANY,
    )
    | {"max_output_tokens": NUMBER}
)
_COMPACTION: Final = Fields(
    fields={
        "model": MODEL,
        "model_settings": _MODEL_SETTINGS,
        "prompt": ANY,
        "prompt_acknowledgement": ANY,
        "clip_chars": NUMBER,
        "mode": ANY,
        "sliding_window_percentage": ANY,
    }
)

# -- messages
_MESSAGE: Final = Fields(
    fields={
        "type": ANY,
        "role": ANY,
        "content": Content(),
        "name": ANY,
        "otid": ANY,
        "sender_id": TEXT,
        "group_id": Refused("Groups of agents are not offered here."),
        "batch_item_id": DROPPED,
        "approvals": Content(),
        "approve": ANY,
        "approval_request_id": TEXT,
        "reason": ANY,
        "tool_returns": Content(),
    }
)
_CLIENT_TOOL: Final = Fields(fields={"name": TEXT, "description": TEXT, "parameters": ANY})
_CLIENT_SKILL: Final = Fields(fields={"name": TEXT, "description": TEXT, "location": TEXT})
_SEND: Final[dict[str, Rule]] = {
    "messages": Each(_MESSAGE),
    "input": Content(),
    "max_steps": Whole(minimum=1, maximum=lambda: settings.LETTA_MAX_STEPS),
    "use_assistant_message": ANY,
    "assistant_message_tool_name": ANY,
    "assistant_message_tool_kwarg": ANY,
    "include_return_message_types": ANY,
    "enable_thinking": ANY,
    "client_tools": Each(_CLIENT_TOOL, most=128),
    "client_skills": Each(_CLIENT_SKILL, most=128),
    "override_model": MODEL,
    "override_system": Refused("Set the agent's `system` instead."),
    "include_compaction_messages": ANY,
    "return_logprobs": ANY,
    "top_logprobs": NUMBER,
    "return_token_ids": ANY,
}
_STREAM: Final[dict[str, Rule]] = {
    "streaming": ANY,
    "stream_tokens": ANY,
    "include_pings": ANY,
    "background": ANY,
}
SEND: Final = Fields(fields=_SEND | _STREAM)
SEND_ASYNC: Final = Fields(
    fields=_SEND
    | {"callback_url": Refused("Poll the run with GET /v1/runs/{run_id} instead of a callback.")}
)
SEND_IN_CONVERSATION: Final = Fields(fields=_SEND | _STREAM | {"agent_id": Id(Kind.AGENT)})
RESUME: Final = Fields(
    fields={
        "agent_id": Id(Kind.AGENT),
        "run_id": Id(Kind.RUN),
        "otid": Refused("Name the run in `run_id` instead."),
        "starting_after": NUMBER,
        "include_pings": ANY,
        # How often and how much Letta reads from its Redis for one listener.
        "poll_interval": DROPPED,
        "batch_size": DROPPED,
    }
)
CANCEL: Final = Fields(fields={"run_ids": ids(Kind.RUN)})
RESET: Final = Fields(fields={"add_default_initial_messages": ANY})
SUMMARIZE: Final = Fields(fields={"compaction_settings": _COMPACTION})
COMPACT: Final = Fields(fields={"agent_id": Id(Kind.AGENT), "compaction_settings": _COMPACTION})
GENERATE: Final = Fields(
    fields={"prompt": TEXT, "system_prompt": TEXT, "override_model": MODEL, "response_schema": ANY}
)
CHAT_COMPLETION: Final = Fields(
    fields={
        "model": Id(Kind.AGENT),
        "messages": Content(),
        "temperature": ANY,
        "top_p": ANY,
        "n": NUMBER,
        "stream": ANY,
        "stop": ANY,
        "max_tokens": NUMBER,
        "presence_penalty": ANY,
        "frequency_penalty": ANY,
        "user": DROPPED,
    },
    one_of=("model",),
)

# -- blocks
_BLOCK: Final[dict[str, Rule]] = {
    "value": Text(_value_complaint),
    "limit": Whole(minimum=0, maximum=lambda: _BLOCK_CHARACTERS),
    "label": TEXT,
    "description": ANY,
    "metadata": ANY,
    "read_only": ANY,
    "hidden": ANY,
    "tags": ANY,
    "preserve_on_migration": ANY,
    "is_template": DROPPED,
    "template_name": _NO_PROJECTS,
    "project_id": _NO_PROJECTS,
    "template_id": _NO_PROJECTS,
    "base_template_id": _NO_PROJECTS,
    "deployment_id": _NO_PROJECTS,
    "entity_id": _NO_PROJECTS,
}
BLOCK: Final = Fields(fields=_BLOCK)

# -- agents
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
    "model_settings": _MODEL_SETTINGS,
    "compaction_settings": _COMPACTION,
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
    "embedding_config": _USE_EMBEDDING,
    "tool_exec_environment_variables": _NO_SECRETS,
    "secrets": _NO_SECRETS,
    "project_id": _NO_PROJECTS,
    "template_id": _NO_PROJECTS,
    "base_template_id": _NO_PROJECTS,
}
AGENT_CREATE: Final = Fields(
    fields=_AGENT
    | {
        "agent_type": Text(_agent_type_complaint),
        "memory_blocks": Each(BLOCK),
        "tools": Each(ToolName()),
        "include_base_tools": ANY,
        "include_base_tool_rules": ANY,
        "include_multi_agent_tools": Refused("Agents can't send messages to other agents here."),
        "include_default_source": Refused("Create a folder and name it in `folder_ids` instead."),
        "initial_message_sequence": Each(_MESSAGE),
        "embedding_chunk_size": _CHUNK,
        "enable_reasoner": ANY,
        "max_reasoning_tokens": NUMBER,
        "from_template": _NO_PROJECTS,
        "template": DROPPED,
        "project": _NO_PROJECTS,
        "memory_variables": _NO_PROJECTS,
        "actor_id": DROPPED,
    }
)
AGENT_UPDATE: Final = Fields(
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

# -- conversations
CONVERSATION_CREATE: Final = Fields(
    fields={
        "summary": ANY,
        "isolated_block_labels": ANY,
        "model": MODEL,
        "model_settings": _MODEL_SETTINGS,
    }
)
CONVERSATION_UPDATE: Final = Fields(
    fields={
        "summary": ANY,
        "last_message_at": ANY,
        "model": MODEL,
        "model_settings": _MODEL_SETTINGS,
    }
)

# -- folders, archives, passages
_FOLDER: Final[dict[str, Rule]] = {
    "name": ANY,
    "description": ANY,
    "instructions": ANY,
    "metadata": ANY,
    "embedding_config": _USE_EMBEDDING,
}
FOLDER_CREATE: Final = Fields(
    fields=_FOLDER | {"embedding": EMBEDDING, "embedding_chunk_size": _CHUNK}
)
FOLDER_UPDATE: Final = Fields(fields=_FOLDER)
ARCHIVE_CREATE: Final = Fields(
    fields={
        "name": ANY,
        "description": ANY,
        "embedding": EMBEDDING,
        "embedding_config": _USE_EMBEDDING,
    }
)
ARCHIVE_UPDATE: Final = Fields(fields={"name": ANY, "description": ANY})
PASSAGE: Final = Fields(fields={"text": TEXT, "tags": ANY, "metadata": ANY, "created_at": ANY})
PASSAGES: Final = Fields(fields={"passages": Each(PASSAGE)})
PASSAGE_SEARCH: Final = Fields(
    fields={
        "query": TEXT,
        "agent_id": Id(Kind.AGENT),
        "archive_id": Id(Kind.ARCHIVE),
        "tags": ANY,
        "tag_match_mode": ANY,
        "limit": NUMBER,
        "start_date": ANY,
        "end_date": ANY,
    },
    # Without either Letta searches the whole organization, or answers 500 (measured).
    one_of=("agent_id", "archive_id"),
)
FEEDBACK: Final = Fields(fields={"feedback": ANY, "tags": ANY})
