"""Blocks, archives and passages."""

from __future__ import annotations

from typing import Final

from letta_proxy.models import Kind
from letta_proxy.policy.bodies.members import (
    ANY,
    DROPPED,
    EMBEDDING,
    NO_PROJECTS,
    NUMBER,
    TEXT,
    USE_EMBEDDING,
)
from letta_proxy.policy.rules import Each, Fields, Id, Text, Whole

# Letta's own limit of a block, when none is set.
_BLOCK_CHARACTERS: Final = 100_000


def _value_complaint(value: str) -> str:
    if len(value) <= _BLOCK_CHARACTERS:
        return ""
    return f"must have at most {_BLOCK_CHARACTERS} characters"


BLOCK: Final = Fields(
    fields={
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
        "template_name": NO_PROJECTS,
        "project_id": NO_PROJECTS,
        "template_id": NO_PROJECTS,
        "base_template_id": NO_PROJECTS,
        "deployment_id": NO_PROJECTS,
        "entity_id": NO_PROJECTS,
    }
)
ARCHIVE_CREATE: Final = Fields(
    fields={
        "name": ANY,
        "description": ANY,
        "embedding": EMBEDDING,
        "embedding_config": USE_EMBEDDING,
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
