"""Identifiers and timestamps in Letta's forms."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from gateway_project.sandbox.letta.problems import InvalidError

DEFAULT_ORGANIZATION_ID: Final = "org-00000000-0000-4000-8000-000000000000"
DEFAULT_USER_ID: Final = "user-00000000-0000-4000-8000-000000000000"

_UUID4: Final = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_PREFIXES: Final = {
    "agent_id": "agent",
    "archive_id": "archive",
    "block_id": "block",
    "file_id": "file",
    "folder_id": "source",
    "group_id": "group",
    "identity_id": "identity",
    "job_id": "job",
    "memory_id": "passage",
    "message_id": "message",
    "passage_id": "passage",
    "provider_id": "provider",
    "run_id": "run",
    "source_id": "source",
    "step_id": "step",
    "tool_id": "tool",
}
_CONVERSATION: Final = re.compile(f"^(default|conv-{_UUID4}|agent-{_UUID4})$")


def new_id(prefix: str) -> str:
    """Return ``<prefix>-<uuid4>``."""
    return f"{prefix}-{uuid4()}"


def is_id(prefix: str, value: str) -> bool:
    """Tell whether ``value`` is a well-formed id of this kind."""
    return re.fullmatch(f"{prefix}-{_UUID4}", value) is not None


def check_path_id(name: str, value: str) -> None:
    """Refuse an ill-formed path parameter as the real server does.

    Raises:
        InvalidError: the value does not match the pattern of that parameter.
    """
    if name == "conversation_id":
        if not _CONVERSATION.match(value):
            raise conversation_too_short(value)
        return
    prefix = _PREFIXES.get(name)
    if prefix and not is_id(prefix, value):
        raise _mismatch(name, value, prefix)


def conversation_too_short(value: str) -> InvalidError:
    """Return the 422 for a conversation's id that is none."""
    fault = {
        "type": "string_too_short",
        "loc": ("path", "conversation_id"),
        "msg": "String should have at least 41 characters",
        "input": value,
        "ctx": {"min_length": 41},
    }
    return InvalidError([fault])


def _mismatch(name: str, value: str, prefix: str) -> InvalidError:
    fault = {
        "type": "string_pattern_mismatch",
        "loc": ("path", name),
        "msg": f"String should match pattern '{prefix}-{{uuid4}}'",
        "input": value,
        "ctx": {"pattern": f"^{prefix}-{_UUID4}$"},
    }
    return InvalidError([fault], examples=[f"{prefix}-123e4567-e89b-42d3-8456-426614174000"])


def now() -> str:
    """Return the current time as rows carry it: microseconds and ``Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def message_date() -> str:
    """Return the current time as messages carry it: whole seconds and an offset."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
