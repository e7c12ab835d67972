"""Conversations with agents."""

from __future__ import annotations

from typing import Final

from letta_proxy.models import Kind
from letta_proxy.policy.bodies.members import ANY, COMPACTION, MODEL, MODEL_SETTINGS
from letta_proxy.policy.rules import Fields, Id

CREATE: Final = Fields(
    fields={
        "summary": ANY,
        "isolated_block_labels": ANY,
        "model": MODEL,
        "model_settings": MODEL_SETTINGS,
    }
)
UPDATE: Final = Fields(
    fields={
        "summary": ANY,
        "last_message_at": ANY,
        "model": MODEL,
        "model_settings": MODEL_SETTINGS,
    }
)
COMPACT: Final = Fields(fields={"agent_id": Id(Kind.AGENT), "compaction_settings": COMPACTION})
