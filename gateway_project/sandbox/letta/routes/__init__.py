"""One module for each family of resources; ``TABLES`` is all of them in matching order."""

from __future__ import annotations

from typing import Final

from gateway_project.sandbox.letta.routes import (
    admin,
    agent_files,
    agent_links,
    agent_memory,
    agent_messages,
    agents,
    archives,
    blocks,
    conversations,
    folders,
    general,
    groups,
    identities,
    portable,
    runs,
    steps,
    tools,
)

TABLES: Final = (
    general.routes,
    admin.routes,
    portable.routes,
    agents.routes,
    agent_messages.routes,
    agent_links.routes,
    agent_memory.routes,
    agent_files.routes,
    conversations.routes,
    blocks.routes,
    folders.routes,
    archives.routes,
    identities.routes,
    groups.routes,
    runs.routes,
    steps.routes,
    tools.routes,
)
