"""What Letta holds of a user, as files of an export: one page of one list is in memory at a time.

Agents are what Letta lists; all else is what the user has made through the gateway, by its owner's
record, so that it is the same on Letta Cloud. What Letta makes by itself goes with an agent.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from accounts.holdings import json_document, lines_document
from gateway_core.errors import UpstreamAnswerInvalid
from letta_proxy.catalogue import shapes
from letta_proxy.direct.agents import list_agents, path_of, read_agent
from letta_proxy.direct.calls import call, call_or_none
from letta_proxy.direct.pages import items
from letta_proxy.direct.policing import shown
from letta_proxy.models import Kind, LettaAccount, OwnedResource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from accounts.holdings import Document
    from letta_proxy.catalogue.shapes import Answer

# Each passage comes with a vector of 42 KB (measured), and a search returns no more than that.
_PAGE: Final = 100
# The rest is about the vector.
_OF_PASSAGE: Final = (
    *("id", "text", "tags", "metadata", "created_at"),
    *("archive_id", "source_id", "file_id", "file_name"),
)
_MOMENT: Final = timedelta(microseconds=1)


def export_account(user_id: UUID) -> Iterator[Document]:
    """Yield all of it."""
    account = LettaAccount.objects.filter(pk=user_id).values(
        "organization_id", "letta_user_id", "created_at"
    )
    yield json_document("account.json", account.first())
    in_agents: set[str] = set()
    yield from _agents(user_id, in_agents)
    for block_id in _owned(user_id, Kind.BLOCK):
        if block_id not in in_agents:
            yield from _thing(user_id, "blocks", block_id, shapes.UNTOUCHED)
    yield from _conversations(user_id)
    yield from _archives(user_id)
    yield from _folders(user_id)


def _agents(user_id: UUID, blocks: set[str]) -> Iterator[Document]:
    """Yield the agents, and note whose blocks they show."""
    for agent in list_agents(user_id=user_id):
        document = read_agent(user_id=user_id, agent_id=agent.agent_id)
        if document is None:
            continue
        blocks.update(block["id"] for block in document.get("blocks") or ())
        folder, path = f"agents/{_named(agent.agent_id)}", path_of(agent.agent_id)
        yield json_document(f"{folder}/agent.json", document)
        yield _messages(user_id, folder, path)
        passages = items(user_id, f"{path}/archival-memory", page_size=_PAGE, ascending="true")
        yield lines_document(f"{folder}/passages.jsonl", map(_passage, passages))


def _conversations(user_id: UUID) -> Iterator[Document]:
    for conversation_id in _owned(user_id, Kind.CONVERSATION):
        yield from _thing(user_id, "conversations", conversation_id, shapes.UNTOUCHED)
        name = _named(conversation_id)
        yield _messages(user_id, f"conversations/{name}", f"/v1/conversations/{name}")


def _archives(user_id: UUID) -> Iterator[Document]:
    """Yield the archives; the passages of those that agents have are with the agents."""
    for archive_id in _owned(user_id, Kind.ARCHIVE):
        yield from _thing(user_id, "archives", archive_id, shapes.ARCHIVE)
        name = _named(archive_id)
        if not call_or_none(user_id, "GET", f"/v1/archives/{name}/agents", params={"limit": 1}):
            yield lines_document(f"archives/{name}/passages.jsonl", _loose(user_id, archive_id))


def _folders(user_id: UUID) -> Iterator[Document]:
    """Yield the folders with their files; what these say is in their passages."""
    for folder_id in _owned(user_id, Kind.FOLDER):
        yield from _thing(user_id, "folders", folder_id, shapes.FOLDER)
        name = _named(folder_id)
        folder, path = f"folders/{name}", f"/v1/folders/{name}"
        files = items(user_id, f"{path}/files", page_size=_PAGE, order="asc")
        yield lines_document(f"{folder}/files.jsonl", (shown(file, shapes.FILE) for file in files))
        passages = items(user_id, f"{path}/passages", page_size=_PAGE, order="asc")
        yield lines_document(f"{folder}/passages.jsonl", map(_passage, passages))


def _loose(user_id: UUID, archive_id: str) -> Iterator[dict[str, Any]]:
    """Yield the passages of an archive that no agent has.

    Letta lists them by a search for nothing alone: the oldest from a time on, 100 at the most. Of
    more than that of the same time, which one call can have made, it never shows the rest.
    """
    wish: dict[str, Any] = {"archive_id": archive_id, "limit": _PAGE}
    seen: set[str] = set()  # of the time that the page begins with
    while True:
        found = call(user_id, "POST", "/v1/passages/search", payload=wish)
        if not isinstance(found, list):
            raise UpstreamAnswerInvalid
        passages = [one["passage"] for one in found]
        yield from (_passage(one) for one in passages if one["id"] not in seen)
        if len(passages) < _PAGE:
            return
        first, last = passages[0]["created_at"], passages[-1]["created_at"]
        if first == last:
            yield {"note": f"Letta shows {_PAGE} passages of {last}, and no more if there are."}
            last = (datetime.fromisoformat(last) + _MOMENT).isoformat()
        seen = {one["id"] for one in passages if one["created_at"] == last}
        wish["start_date"] = last


def _messages(user_id: UUID, folder: str, path: str) -> Document:
    """Return all messages of a thread, also those that have left its context, oldest first."""
    messages = items(user_id, f"{path}/messages", page_size=_PAGE, order="asc")
    return lines_document(f"{folder}/messages.jsonl", messages)


def _thing(user_id: UUID, collection: str, upstream_id: str, answer: Answer) -> Iterator[Document]:
    """Yield one thing, unless it is gone."""
    name = _named(upstream_id)
    document = call_or_none(user_id, "GET", f"/v1/{collection}/{name}")
    if document is not None:
        kind = collection.removesuffix("s")
        yield json_document(f"{collection}/{name}/{kind}.json", shown(document, answer))


def _owned(user_id: UUID, kind: Kind) -> list[str]:
    rows = OwnedResource.objects.filter(user_id=user_id, kind=kind).order_by("id")
    return list(rows.values_list("upstream_id", flat=True))


def _passage(passage: Any) -> dict[str, Any]:
    return {name: passage[name] for name in _OF_PASSAGE if passage.get(name)}


def _named(upstream_id: str) -> str:
    return quote(upstream_id, safe="")
