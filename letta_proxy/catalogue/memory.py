"""Blocks, archives and passages."""

from __future__ import annotations

from typing import Final

from letta_proxy.catalogue import shapes
from letta_proxy.catalogue.agents import PAGE
from letta_proxy.catalogue.operation import (
    EMBEDDINGS_PARAMETER,
    LettaOperation,
    Listed,
    Use,
    not_offered,
    offered,
)
from letta_proxy.models import Kind
from letta_proxy.policy.bodies import memory

_BLOCK_FILTERS: Final = (
    "label templates_only name tags match_all_tags label_search description_search value_search "
    "connected_to_agents_count_gt connected_to_agents_count_lt connected_to_agents_count_eq"
)

OPERATIONS: Final[list[LettaOperation]] = [
    # -- blocks
    offered(
        "list_blocks",
        "GET /blocks/",
        query=f"{PAGE} {_BLOCK_FILTERS}",
        listed=Listed(kind=Kind.BLOCK),
    ),
    offered(
        "create_block",
        "POST /blocks/",
        fields=memory.BLOCK,
        takes_tags=(),
        creates=shapes.NEW_BLOCK,
    ),
    offered("retrieve_block", "GET /blocks/{block_id}"),
    offered("modify_block", "PATCH /blocks/{block_id}", fields=memory.BLOCK, takes_tags=()),
    offered("delete_block", "DELETE /blocks/{block_id}", deletes="block_id"),
    offered(
        "list_agents_for_block",
        "GET /blocks/{block_id}/agents",
        query=f"{PAGE} include include_relationships",
        listed=Listed(kind=Kind.AGENT),
        answer=shapes.AGENTS,
    ),
    *not_offered("It counts what the whole organization has.", "GET /blocks/count"),
    *not_offered(
        "The gateway keeps identities itself.",
        "PATCH /blocks/{block_id}/identities/attach/{identity_id}",
        "PATCH /blocks/{block_id}/identities/detach/{identity_id}",
    ),
    # -- archives
    offered(
        "list_archives",
        "GET /archives/",
        query=f"{PAGE} name agent_id",
        listed=Listed(kind=Kind.ARCHIVE),
        answer=shapes.ARCHIVES,
    ),
    offered(
        "create_archive",
        "POST /archives/",
        fields=memory.ARCHIVE_CREATE,
        creates=shapes.NEW_ARCHIVE,
        answer=shapes.ARCHIVE,
    ),
    offered("retrieve_archive", "GET /archives/{archive_id}", answer=shapes.ARCHIVE),
    offered(
        "modify_archive",
        "PATCH /archives/{archive_id}",
        fields=memory.ARCHIVE_UPDATE,
        answer=shapes.ARCHIVE,
    ),
    offered("delete_archive", "DELETE /archives/{archive_id}", deletes="archive_id"),
    offered(
        "list_agents_for_archive",
        "GET /archives/{archive_id}/agents",
        query="before after limit order include",
        listed=Listed(kind=Kind.AGENT),
        answer=shapes.AGENTS,
    ),
    offered(
        "create_passage_in_archive",
        "POST /archives/{archive_id}/passages",
        fields=memory.PASSAGE,
        use=Use.COST,
        query=EMBEDDINGS_PARAMETER,
        creates=shapes.NEW_PASSAGE,
        answer=shapes.PASSAGE,
    ),
    offered(
        "create_passages_in_archive",
        "POST /archives/{archive_id}/passages/batch",
        fields=memory.PASSAGES,
        use=Use.COST,
        query=EMBEDDINGS_PARAMETER,
        creates=shapes.NEW_PASSAGES,
        answer=shapes.PASSAGES,
    ),
    offered(
        "delete_passage_from_archive",
        "DELETE /archives/{archive_id}/passages/{passage_id}",
        deletes="passage_id",
    ),
    # -- passages
    offered(
        "search_passages",
        "POST /passages/search",
        fields=memory.PASSAGE_SEARCH,
        use=Use.COST,
        query=EMBEDDINGS_PARAMETER,
        shows=shapes.FOUND_BY_SEARCH,
        answer=shapes.FOUND_PASSAGES,
    ),
]
