"""One of everything in Letta for one user, made through the gateway and full of one word."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode
from uuid import uuid4

from letta_proxy.models import Kind
from letta_proxy.proof.wire import Answer, Caller, Request, form

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PREFIX: Final = "/api/v1/letta/v1"
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_IDS: Final = re.compile(rf"\b[a-z_]+-{_UUID}\b").findall
# Ids that all tenants share where there is one organization for all.
_SHARED_IDS: Final = ("tool-", "user-", "org-")
_MADE_UP: Final = "00000000-0000-4000-8000-{:012x}"
_PREFIXES: Final = {
    "conversation_id": "conv",
    "folder_id": "source",
    "memory_id": "passage",
}
# Models that only Letta's own cloud can call, and every server lists.
_HOSTED: Final = "letta/"
_SUCCESS: Final = range(200, 300)
_LONGEST_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05


class WorldIncomplete(Exception):
    """A thing that the proof needs could not be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """Handles of the model and the embedding model that agents are made with."""

    model: str
    embedding: str


@dataclass(slots=True, kw_only=True)
class World:
    """A user and what is theirs.

    Attributes:
        canary: a word that stands in all that is theirs and nowhere else.
        ids: of their things, by the names that these have in paths.
        secrets: every id that the gateway has told them while they made their things.
        made: what has to be deleted in the end, by kind.
    """

    who: str
    caller: Caller
    models: Models
    canary: str = field(default_factory=lambda: f"canary{uuid4().hex}")
    ids: dict[str, str] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)
    made: dict[Kind, list[str]] = field(default_factory=lambda: defaultdict(list))
    _labels: int = 0

    def words(self) -> dict[str, str]:
        """Return what placeholders in requests of this user stand for."""
        self._labels += 1
        return {
            **self.ids,
            "model": self.models.model,
            "embedding": self.models.embedding,
            "canary": self.canary,
            "fresh": f"{self.canary}-{self._labels}",
        }

    def build(self) -> None:
        """Make one of everything.

        Raises:
            WorldIncomplete: something could not be made.
        """
        self._make_memory()
        self._make_folder()
        self._make_agent()
        self.ids["identity_id"] = f"identity-{uuid4()}"

    def note(self, kind: Kind, upstream_id: str) -> None:
        """Keep a thing in mind that has to be deleted."""
        self.made[kind].append(upstream_id)

    def private(self, other: World) -> frozenset[str]:
        """Return what the other user may never see of this one's."""
        if other is self:
            return frozenset(self.secrets | {self.canary})
        shared = {one for one in self.secrets & other.secrets if one.startswith(_SHARED_IDS)}
        return frozenset((self.secrets - shared) | {self.canary})

    def make(self, path: str, body: Any, **query: str) -> Any:
        """Make a thing and return the gateway's answer.

        Raises:
            WorldIncomplete: it could not be made.
        """
        target = f"{PREFIX}{path}" + (f"?{urlencode(query)}" if query else "")
        return self._result(Request(method="POST", target=target, body=body))

    def _make_memory(self) -> None:
        block = {"label": "proof", "value": self.canary, "description": self.canary}
        self.ids["block_id"] = self.make("/blocks/", block)["id"]
        self.note(Kind.BLOCK, self.ids["block_id"])
        archive = {"name": self.canary, "embedding": self.models.embedding}
        self.ids["archive_id"] = self.make("/archives/", archive)["id"]
        self.note(Kind.ARCHIVE, self.ids["archive_id"])
        path = f"/archives/{self.ids['archive_id']}/passages"
        self.ids["passage_id"] = self.make(path, {"text": self.canary})["id"]

    def _make_folder(self) -> None:
        folder = {"name": self.canary, "description": self.canary}
        folder_id = self.make("/folders/", folder | {"embedding": self.models.embedding})["id"]
        self.note(Kind.FOLDER, folder_id)
        self.ids |= {"folder_id": folder_id, "source_id": folder_id}
        upload = form(f"{self.canary}.txt", self.canary)
        file = self.make(f"/folders/{folder_id}/upload", upload)
        self.ids["file_id"] = file["id"]
        self._wait_until_read(f"/folders/{folder_id}/files/{file['id']}")

    def _make_agent(self) -> None:
        agent = self.make(
            "/agents/",
            {
                "name": f"proof {self.canary}",
                "description": self.canary,
                "model": self.models.model,
                "embedding": self.models.embedding,
                "memory_blocks": [{"label": "human", "value": self.canary}],
                "block_ids": [self.ids["block_id"]],
                "folder_ids": [self.ids["folder_id"]],
                "tags": [self.canary],
            },
        )
        agent_id = agent["id"]
        self.note(Kind.AGENT, agent_id)
        for block in agent["blocks"]:
            self.note(Kind.BLOCK, block["id"])
        tool = agent["tools"][0]
        self.ids |= {"agent_id": agent_id, "block_label": "proof"}
        self.ids |= {"tool_id": tool["id"], "tool_name": tool["name"]}
        said = self.make(f"/agents/{agent_id}/messages", {"input": self.canary})["messages"][-1]
        self.ids |= {"message_id": said["id"]}
        self.ids |= {"run_id": said["run_id"], "step_id": said["step_id"]}
        passages = self.make(f"/agents/{agent_id}/archival-memory", {"text": self.canary})
        self.ids["memory_id"] = passages[0]["id"]
        self.note(Kind.ARCHIVE, passages[0]["archive_id"])
        summary = {"summary": self.canary}
        conversation = self.make("/conversations/", summary, agent_id=agent_id)
        self.ids["conversation_id"] = conversation["id"]

    def wait_until_over(self, run_id: str) -> None:
        """Wait for the end of a run.

        Raises:
            WorldIncomplete: it takes too long.
        """
        self._wait_until(f"/runs/{run_id}", "status", {"completed", "failed", "cancelled"})

    def _wait_until_read(self, path: str) -> None:
        """Letta reads files in the background; until it has, their rows change."""
        self._wait_until(path, "processing_status", {"completed", "error"})

    def _wait_until(self, path: str, member: str, ends: Collection[str]) -> None:
        deadline = time.monotonic() + _LONGEST_SECONDS
        request = Request(method="GET", target=PREFIX + path)
        while (state := self._result(request).get(member)) not in ends:
            if time.monotonic() > deadline:
                raise WorldIncomplete(f"{request} is {state} after {_LONGEST_SECONDS:.0f} s.")
            time.sleep(_POLL_SECONDS)

    def _result(self, request: Request) -> Any:
        answer = self.caller.send(request)
        if answer.status not in _SUCCESS:
            raise WorldIncomplete(f"{request} as {self.who}: {_excerpt(answer)}")
        self.secrets.update(_IDS(answer.body.decode()))
        return answer.json()


def choose_models(caller: Caller, model: str, embedding: str) -> Models:
    """Return the named handles, and for those that are not named the first that Letta lists.

    Raises:
        WorldIncomplete: there is none.
    """
    return Models(
        model=model or _first_handle(caller, "/models/"),
        embedding=embedding or _first_handle(caller, "/models/embedding"),
    )


def missing_ids(words: Mapping[str, str]) -> dict[str, str]:
    """Return ids of things that don't exist, by the names that ids have in paths."""
    return {
        name: f"{_PREFIXES.get(name, value.partition('-')[0])}-{_MADE_UP.format(0xDEAD)}"
        for name, value in words.items()
        if name.endswith("_id")
    }


def quoted(words: Mapping[str, str]) -> dict[str, str]:
    """Return words as they stand in a path."""
    return {name: quote(value, safe="") for name, value in words.items()}


def _first_handle(caller: Caller, path: str) -> str:
    answer = caller.send(Request(method="GET", target=PREFIX + path))
    listed = answer.json()
    if answer.status not in _SUCCESS or not listed:
        raise WorldIncomplete(f"No model in GET {path}: {_excerpt(answer)}")
    handles = [str(one["handle"]) for one in listed]
    return next((one for one in handles if not one.startswith(_HOSTED)), handles[0])


def _excerpt(answer: Answer) -> str:
    return f"{answer.status} {answer.body[:300].decode('utf-8', 'replace')}"
