"""Agents, and what is attached to them."""

from __future__ import annotations

from typing import Final

from letta_proxy.catalogue import shapes
from letta_proxy.catalogue.operation import (
    EMBEDDINGS_PARAMETER,
    LettaOperation,
    Listed,
    Use,
    Within,
    not_offered,
    offered,
)
from letta_proxy.models import Kind
from letta_proxy.policy.bodies import agents, memory

PAGE: Final = "before after limit order order_by"
_INCLUDE: Final = "include include_relationships"
_LIST: Final = (
    f"{PAGE} {_INCLUDE} name tags match_all_tags query_text ascending sort_by last_stop_reason"
)

OPERATIONS: Final[list[LettaOperation]] = [
    # -- the agents themselves
    offered(
        "list_agents",
        "GET /agents/",
        query=_LIST,
        listed=Listed(kind=Kind.AGENT, by_tag=True),
        answer=shapes.AGENTS,
    ),
    offered(
        "create_agent",
        "POST /agents/",
        fields=agents.CREATE,
        takes_tags=("memory_blocks",),
        creates=shapes.NEW_AGENT,
        sets_models=True,
        answer=shapes.AGENT,
    ),
    offered("retrieve_agent", "GET /agents/{agent_id}", query=_INCLUDE, answer=shapes.AGENT),
    offered(
        "modify_agent",
        "PATCH /agents/{agent_id}",
        fields=agents.UPDATE,
        takes_tags=(),
        creates={"/multi_agent_group/agent_ids/*": shapes.NEW_AGENT["/id"]},
        sets_models=True,
        answer=shapes.AGENT,
    ),
    offered("delete_agent", "DELETE /agents/{agent_id}", deletes="agent_id", is_sensitive=True),
    offered(
        "retrieve_agent_context_window", "GET /agents/{agent_id}/context", query="conversation_id"
    ),
    offered(
        "recompile_agent", "POST /agents/{agent_id}/recompile", query="update_timestamp dry_run"
    ),
    offered(
        "recompile_agent_system_prompt",
        "POST /agents/{agent_id}/system-prompt/recompile",
        query="update_timestamp dry_run",
    ),
    offered(
        "export_agent",
        "GET /agents/{agent_id}/export",
        query="conversation_id scrub_messages max_steps",
        answer=shapes.AGENT_FILE,
    ),
    offered(
        "export_agent_with_skills",
        "POST /agents/{agent_id}/export",
        fields=agents.EXPORT,
        use=Use.READ,
        answer=shapes.AGENT_FILE,
    ),
    offered("list_groups_for_agent", "GET /agents/{agent_id}/groups", query=f"{PAGE} manager_type"),
    # -- core memory
    offered("retrieve_agent_memory", "GET /agents/{agent_id}/core-memory"),
    offered("list_core_memory_blocks", "GET /agents/{agent_id}/core-memory/blocks", query=PAGE),
    offered(
        "retrieve_core_memory_block", "GET /agents/{agent_id}/core-memory/blocks/{block_label}"
    ),
    offered(
        "modify_core_memory_block",
        "PATCH /agents/{agent_id}/core-memory/blocks/{block_label}",
        fields=memory.BLOCK,
        takes_tags=(),
    ),
    offered(
        "attach_core_memory_block",
        "PATCH /agents/{agent_id}/core-memory/blocks/attach/{block_id}",
        answer=shapes.AGENT,
    ),
    offered(
        "detach_core_memory_block",
        "PATCH /agents/{agent_id}/core-memory/blocks/detach/{block_id}",
        answer=shapes.AGENT,
    ),
    # -- archival memory
    offered(
        "list_passages",
        "GET /agents/{agent_id}/archival-memory",
        query=f"before after limit search ascending {EMBEDDINGS_PARAMETER}",
        shows=shapes.LISTED_PASSAGES,
        answer=shapes.PASSAGES,
    ),
    offered(
        "create_passage",
        "POST /agents/{agent_id}/archival-memory",
        fields=memory.PASSAGE,
        use=Use.COST,
        query=EMBEDDINGS_PARAMETER,
        creates=shapes.NEW_PASSAGES,
        answer=shapes.PASSAGES,
    ),
    offered(
        "search_archival_memory",
        "GET /agents/{agent_id}/archival-memory/search",
        use=Use.COST,
        query="query tags tag_match_mode top_k start_datetime end_datetime",
        shows=shapes.FOUND_IN_MEMORY,
    ),
    offered(
        "delete_passage",
        "DELETE /agents/{agent_id}/archival-memory/{memory_id}",
        deletes="memory_id",
    ),
    offered("attach_archive_to_agent", "PATCH /agents/{agent_id}/archives/attach/{archive_id}"),
    offered("detach_archive_from_agent", "PATCH /agents/{agent_id}/archives/detach/{archive_id}"),
    # -- tools
    offered(
        "list_tools_for_agent", "GET /agents/{agent_id}/tools", query=PAGE, answer=shapes.TOOLS
    ),
    offered(
        "attach_tool_to_agent",
        "PATCH /agents/{agent_id}/tools/attach/{tool_id}",
        answer=shapes.AGENT,
    ),
    # A tool that has left the list can still be taken off.
    offered(
        "detach_tool_from_agent",
        "PATCH /agents/{agent_id}/tools/detach/{tool_id}",
        owners={"tool_id": Within.THING},
        answer=shapes.AGENT,
    ),
    offered(
        "modify_approval_for_tool",
        "PATCH /agents/{agent_id}/tools/approval/{tool_name}",
        query="requires_approval",
        fields=agents.APPROVAL,
        answer=shapes.AGENT,
    ),
    # -- folders and files
    offered(
        "list_folders_for_agent",
        "GET /agents/{agent_id}/folders",
        query=PAGE,
        answer=shapes.FOLDERS,
    ),
    offered(
        "attach_folder_to_agent",
        "PATCH /agents/{agent_id}/folders/attach/{folder_id}",
        answer=shapes.AGENT,
    ),
    offered(
        "detach_folder_from_agent",
        "PATCH /agents/{agent_id}/folders/detach/{folder_id}",
        answer=shapes.AGENT,
    ),
    offered(
        "list_agent_sources", "GET /agents/{agent_id}/sources", query=PAGE, answer=shapes.FOLDERS
    ),
    offered(
        "attach_source_to_agent",
        "PATCH /agents/{agent_id}/sources/attach/{source_id}",
        answer=shapes.AGENT,
    ),
    offered(
        "detach_source_from_agent",
        "PATCH /agents/{agent_id}/sources/detach/{source_id}",
        answer=shapes.AGENT,
    ),
    offered("list_files_for_agent", "GET /agents/{agent_id}/files", query=f"{PAGE} cursor is_open"),
    offered("close_all_files_for_agent", "PATCH /agents/{agent_id}/files/close-all"),
    offered("open_file_for_agent", "PATCH /agents/{agent_id}/files/{file_id}/open"),
    offered("close_file_for_agent", "PATCH /agents/{agent_id}/files/{file_id}/close"),
    # -- not offered
    *not_offered("It counts what the whole organization has.", "GET /agents/count"),
    *not_offered("An agent file may carry code, secrets and addresses.", "POST /agents/import"),
    *not_offered(
        "It searches every agent's messages, and needs a search engine that is not installed.",
        "POST /agents/messages/search",
    ),
    *not_offered(
        "It runs a tool's code outside of a conversation.",
        "POST /agents/{agent_id}/tools/{tool_name}/run",
    ),
    *not_offered(
        "The gateway keeps identities itself.",
        "PATCH /agents/{agent_id}/identities/attach/{identity_id}",
        "PATCH /agents/{agent_id}/identities/detach/{identity_id}",
    ),
]
