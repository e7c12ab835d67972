"""Folders and the files in them, and of their old twin "sources" what older clients upload with.

A folder's id is ``source-…``: the two are one thing in Letta.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings

from gateway_core.proxy.operations import BodyKind
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
from letta_proxy.policy.bodies import folders

_ONE: Final = "/folders/{folder_id}"
_UPLOAD: Final[dict[str, Any]] = {
    "query": "duplicate_handling name",
    "body": BodyKind.FORM,
    "use": Use.COST,
    "max_bytes": settings.MAX_UPLOAD_BYTES,
    "creates": shapes.NEW_FILE,
}

OPERATIONS: Final[list[LettaOperation]] = [
    offered(
        "list_folders",
        "GET /folders/",
        query=f"{PAGE} name",
        listed=Listed(kind=Kind.FOLDER),
        unique_names=True,
        answer=shapes.FOLDERS,
    ),
    offered(
        "create_folder",
        "POST /folders/",
        fields=folders.CREATE,
        unique_names=True,
        creates=shapes.NEW_FOLDER,
        answer=shapes.FOLDER,
    ),
    offered("retrieve_folder", f"GET {_ONE}", answer=shapes.FOLDER),
    offered(
        "modify_folder",
        f"PATCH {_ONE}",
        fields=folders.UPDATE,
        unique_names=True,
        answer=shapes.FOLDER,
    ),
    offered("delete_folder", f"DELETE {_ONE}", deletes="folder_id"),
    offered(
        "list_agents_for_folder",
        f"GET {_ONE}/agents",
        query=PAGE,
        listed=Listed(kind=Kind.AGENT),
    ),
    offered(
        "list_folder_passages",
        f"GET {_ONE}/passages",
        query=f"{PAGE} {EMBEDDINGS_PARAMETER}",
        shows=shapes.LISTED_PASSAGES,
        answer=shapes.PASSAGES,
    ),
    offered(
        "list_files_for_folder",
        f"GET {_ONE}/files",
        query=f"{PAGE} include_content",
        answer=shapes.FILES,
    ),
    offered(
        "retrieve_file",
        f"GET {_ONE}/files/{{file_id}}",
        query="include_content",
        answer=shapes.FILE,
    ),
    offered("delete_file_from_folder", f"DELETE {_ONE}/{{file_id}}", deletes="file_id"),
    offered("upload_file_to_folder", f"POST {_ONE}/upload", **_UPLOAD),
    offered("upload_file_to_source", "POST /sources/{source_id}/upload", **_UPLOAD),
    *not_offered(
        "It counts what the whole organization has.", "GET /folders/count", "GET /sources/count"
    ),
    *not_offered(
        "It sums up what the whole organization has.",
        "GET /folders/metadata",
        "GET /sources/metadata",
    ),
    *not_offered(
        "It looks names up in the whole organization. List the folders instead.",
        "GET /folders/name/{folder_name}",
        "GET /sources/name/{source_name}",
    ),
    *not_offered(
        "Use the same path under /folders: sources are their old name.",
        "GET /sources/",
        "POST /sources/",
        "GET /sources/{source_id}",
        "PATCH /sources/{source_id}",
        "DELETE /sources/{source_id}",
        "GET /sources/{source_id}/agents",
        "GET /sources/{source_id}/files",
        "GET /sources/{source_id}/files/{file_id}",
        "GET /sources/{source_id}/passages",
        "DELETE /sources/{source_id}/{file_id}",
    ),
]
