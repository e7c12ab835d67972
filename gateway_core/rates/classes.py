"""What requests are counted as."""

from __future__ import annotations

from enum import StrEnum


class RateClass(StrEnum):
    """Each has a limit of its own for each user. A catalogue says which one an operation is of."""

    GENERAL = "general"  # no model works for it
    LLM = "llm"  # a user has a model or an agent work
    PROXY = "proxy"  # an agent has a model work
    UPLOADS = "uploads"  # files for agents
    WRITES = "writes"  # what changes something in the control plane
