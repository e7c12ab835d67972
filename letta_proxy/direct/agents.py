"""Agents: made, read, changed and deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from gateway_core.errors import GatewayError, UpstreamAnswerInvalid, UpstreamInterrupted
from letta_proxy.catalogue import shapes
from letta_proxy.cloud import tag_of, without_tags
from letta_proxy.direct.calls import call, call_or_none
from letta_proxy.direct.pages import items
from letta_proxy.direct.policing import admitted, shown
from letta_proxy.direct.waiting import wait_for
from letta_proxy.mode import is_cloud
from letta_proxy.models import Kind, OwnedResource
from letta_proxy.ownership import forget_deleted_sync, record_created_sync
from letta_proxy.policy.bodies import agents
from letta_proxy.provisioning import give_own_address
from letta_proxy.reshape import things

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID

AGENTS: Final = "/v1/agents/"
_PAGE: Final = 200
_UNTOLD: Final = "Letta does not tell what secrets the agent's tools have. Contact support."


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAgent:
    """An agent as a list of Letta's shows it.

    Attributes:
        tags: all of them, the gateway's included.
        created_at: ISO 8601, as Letta says it.
        was_used: somebody has sent it a message.
    """

    agent_id: str
    name: str
    tags: tuple[str, ...]
    created_at: str
    agent_type: str
    was_used: bool


def path_of(agent_id: str) -> str:
    """Return the path of an agent."""
    return f"{AGENTS}{quote(agent_id, safe='')}"


def create_agent(
    *, user_id: UUID, body: Mapping[str, Any], tag: str, secrets: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Make an agent and return it. Nobody owns it until ``record_agent``.

    Args:
        body: in Letta's form, under the rules of callers' bodies.
        tag: the gateway's own, by which ``find_agents`` finds it.
        secrets: environment variables of its tools, which callers can't set.

    Raises:
        FieldForbidden, FieldInvalid: the body may not or can't be so.
        GatewayError: as ``direct.calls.call`` says.
    """
    payload = admitted(user_id, agents.CREATE, dict(body))
    payload["tags"] = own_tags(user_id, tag, payload.get("tags"))
    if secrets:
        payload["secrets"] = dict(secrets)
    made = call(user_id, "POST", AGENTS, payload=payload)
    try:
        return addressed(user_id, made)
    except GatewayError as exc:  # the agent is there by now
        raise UpstreamInterrupted(exc.detail) from exc


def check_agent(*, user_id: UUID, body: Mapping[str, Any]) -> None:
    """Refuse a body that ``create_agent`` would not send; raises as it does."""
    admitted(user_id, agents.CREATE, dict(body))


def read_agent(*, user_id: UUID, agent_id: str) -> dict[str, Any] | None:
    """Return an agent as its owner sees it, None when Letta doesn't have it."""
    document = call_or_none(user_id, "GET", path_of(agent_id))
    return None if document is None else agent_in(document)


def read_environment(*, user_id: UUID, agent_id: str) -> dict[str, str]:
    """Return what an agent's tools see, secrets in clear: to be compared or copied, never told.

    Raises:
        ResourceNotFound: Letta doesn't have the agent.
        UpstreamAnswerInvalid: it keeps the values to itself.
    """
    document = call(user_id, "GET", path_of(agent_id), params={"include": "agent.secrets"})
    variables = document.get("secrets") if isinstance(document, dict) else None
    if not isinstance(variables, list):
        raise UpstreamAnswerInvalid(_UNTOLD)
    if not all(isinstance(one.get("value"), str) for one in variables):
        raise UpstreamAnswerInvalid(_UNTOLD)
    return {one["key"]: one["value"] for one in variables}


def receive_agent(*, user_id: UUID, agent_id: str) -> dict[str, Any] | None:
    """Return an agent that was made elsewhere, once it calls its models at the gateway.

    None when Letta doesn't have it.

    Raises:
        FieldForbidden, FieldInvalid, ResourceNotFound: its models are none that the user may have.
    """
    document = call_or_none(user_id, "GET", path_of(agent_id))
    if document is None:
        return None
    given = {"embedding": document["embedding"]} if document.get("embedding") else {}
    wanted = admitted(user_id, agents.UPDATE, given)
    if wanted != given:  # it was made with the server's own, at the server's expense
        document = call(user_id, "PATCH", path_of(agent_id), payload=wanted)
    return addressed(user_id, document)


def change_agent(
    *,
    user_id: UUID,
    agent_id: str,
    body: Mapping[str, Any],
    tag: str = "",
    secrets: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Change an agent and return it; ``tag`` stays on it when the body has tags.

    Raises as ``create_agent`` does, and ResourceNotFound.
    """
    payload = admitted(user_id, agents.UPDATE, dict(body))
    if "tags" in payload:
        payload["tags"] = own_tags(user_id, tag, payload["tags"])
    if secrets is not None:
        payload["secrets"] = dict(secrets)
    return addressed(user_id, call(user_id, "PATCH", path_of(agent_id), payload=payload))


def record_agent(*, user_id: UUID, document: Mapping[str, Any]) -> None:
    """Make an agent and its blocks the user's, in the caller's transaction."""
    created = things(shapes.NEW_AGENT, document, str(document["id"]))
    record_created_sync(user_id, created)


def list_agents(*, user_id: UUID, tag: str = "") -> Iterator[FoundAgent]:
    """Yield all of the user's agents that Letta has, or those with a tag, oldest first."""
    tags = [name for name in (tag, tag_of(user_id) if is_cloud() else "") if name]
    query: dict[str, Any] = {"order": "asc", "include": "agent.tags"}
    if tags:
        query |= {"tags": tags, "match_all_tags": "true"}
    yield from map(_found, items(user_id, AGENTS, page_size=_PAGE, **query))


def delete_agent(*, user_id: UUID, agent_id: str) -> None:
    """Delete an agent, and the blocks and archives that nothing else uses; what is gone is done.

    Letta itself keeps those when it deletes an agent (measured). Their ids are noted first, so that
    a second attempt finds them when the first one has got no further than the agent. The caller
    forgets the agent's owner after that.
    """
    if note_belongings(user_id=user_id, agent_id=agent_id):
        call_or_none(user_id, "DELETE", path_of(agent_id))
    try:
        for kind, collection in ((Kind.BLOCK, "blocks"), (Kind.ARCHIVE, "archives")):
            _delete_left(user_id, agent_id, kind, collection)
    except GatewayError as exc:  # the agent is gone by now
        raise UpstreamInterrupted(exc.detail) from exc


def note_belongings(*, user_id: UUID, agent_id: str) -> bool:
    """Note which blocks and archives have come with an agent; say whether it is there.

    What is on record as something else stays that.
    """
    document = call_or_none(user_id, "GET", path_of(agent_id))
    if document is None:
        return False
    archives = call(user_id, "GET", "/v1/archives/", params={"agent_id": agent_id})
    record_created_sync(
        user_id,
        [
            *things({"/blocks/*/id": Kind.BLOCK}, document, agent_id),
            *things({"/*/id": Kind.ARCHIVE}, archives, agent_id),
        ],
    )
    return True


def own_tags(user_id: UUID, tag: str, given: Iterable[str] | None) -> list[str]:
    """Return a caller's tags with the gateway's own before them."""
    own = [tag, tag_of(user_id) if is_cloud() else ""]
    return [*(name for name in own if name), *without_tags(given or ())]


def agent_in(document: Any) -> dict[str, Any]:
    """Return the agent that an answer is, without secrets and the gateway's tags.

    Raises:
        UpstreamAnswerInvalid: it is none.
    """
    if not isinstance(document, dict) or not isinstance(document.get("id"), str):
        raise UpstreamAnswerInvalid
    agent: dict[str, Any] = shown(document)
    return agent


def addressed(user_id: UUID, document: Any) -> dict[str, Any]:
    """Return the agent that an answer is, once it calls its models at the gateway."""
    wait_for(give_own_address, user_id, document)
    return agent_in(document)


def _delete_left(user_id: UUID, agent_id: str, kind: Kind, collection: str) -> None:
    rows = OwnedResource.objects.filter(user_id=user_id, kind=kind, agent_id=agent_id)
    for upstream_id in rows.values_list("upstream_id", flat=True):
        target = f"/v1/{collection}/{quote(upstream_id, safe='')}"
        if call_or_none(user_id, "GET", f"{target}/agents"):
            continue  # another agent uses it too
        call_or_none(user_id, "DELETE", target)
        forget_deleted_sync(kind, upstream_id)


def _found(document: Any) -> FoundAgent:
    if not isinstance(document, dict) or not isinstance(document.get("id"), str):
        raise UpstreamAnswerInvalid
    return FoundAgent(
        agent_id=document["id"],
        name=document.get("name") or "",
        tags=tuple(document.get("tags") or ()),
        created_at=document.get("created_at") or "",
        agent_type=document.get("agent_type") or "",
        was_used=bool(document.get("last_stop_reason")),
    )
