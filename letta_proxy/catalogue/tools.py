"""Tools and models to choose from, and whether Letta is there."""

from __future__ import annotations

from typing import Final

from letta_proxy.catalogue import shapes
from letta_proxy.catalogue.agents import PAGE
from letta_proxy.catalogue.operation import LettaOperation, Listed, not_offered, offered
from letta_proxy.models import Kind

OPERATIONS: Final[list[LettaOperation]] = [
    offered(
        "list_tools",
        "GET /tools/",
        query=f"{PAGE} name names search tool_types exclude_tool_types return_only_letta_tools",
        listed=Listed(kind=Kind.TOOL),
        answer=shapes.TOOLS,
    ),
    offered("retrieve_tool", "GET /tools/{tool_id}", answer=shapes.TOOL),
    offered(
        "list_models",
        "GET /models/",
        query="provider_category provider_name provider_type",
        lists_models=True,
        answer=shapes.MODELS,
    ),
    offered(
        "list_embedding_models",
        "GET /models/embedding",
        lists_models=True,
        answer=shapes.EMBEDDING_MODELS,
    ),
    # Status and version, which Letta's clients ask for.
    offered("check_health", "GET /health/"),
    *not_offered(
        "Tools run as Letta's server process, with its secrets: users can't bring code.",
        "POST /tools/",
        "PUT /tools/",
        "PATCH /tools/{tool_id}",
        "DELETE /tools/{tool_id}",
        "POST /tools/run",
        "POST /tools/generate-schema",
        "POST /tools/generate-tool",
    ),
    *not_offered(
        "It is done once when a user's organization is made.", "POST /tools/add-base-tools"
    ),
    *not_offered(
        "It counts what the whole organization has. List the tools instead.", "GET /tools/count"
    ),
    *not_offered(
        "It needs a search engine that is not installed. List the tools instead.",
        "POST /tools/search",
    ),
]
