"""What Letta holds of a user, and this app of that."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson

from accounts.holdings import Document, Holder
from gateway_core.background import wait_for
from gateway_core.errors import UpstreamAnswerInvalid
from letta_proxy import client
from letta_proxy.direct.agents import delete_agent, list_agents, path_of, read_agent
from letta_proxy.direct.calls import call
from letta_proxy.direct.holdings import has_account
from letta_proxy.direct.memory import read_passages
from letta_proxy.mode import is_cloud
from letta_proxy.models import LettaAccount, OwnedResource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

_PAGE: Final = 100


def _export(user_id: UUID) -> Iterator[Document]:
    if not has_account(user_id):
        return
    for agent in list_agents(user_id=user_id):
        folder = f"agents/{quote(agent.agent_id, safe='')}"
        document = read_agent(user_id=user_id, agent_id=agent.agent_id)
        if document is None:
            continue
        yield Document(f"{folder}/agent.json", orjson.dumps(document))
        messages = b"".join(_line(one) for one in _messages(user_id, agent.agent_id))
        yield Document(f"{folder}/messages.jsonl", messages)
        passages = read_passages(user_id=user_id, agent_id=agent.agent_id)
        yield Document(f"{folder}/passages.jsonl", b"".join(map(_line, passages)))


def _messages(user_id: UUID, agent_id: str) -> Iterator[dict[str, Any]]:
    """Yield all messages of an agent, also those that have left its context, oldest first."""
    query: dict[str, Any] = {"limit": _PAGE, "order": "asc"}
    while True:
        page = call(user_id, "GET", f"{path_of(agent_id)}/messages", params=query)
        if not isinstance(page, list):
            raise UpstreamAnswerInvalid
        yield from page
        if len(page) < _PAGE:
            return
        query["after"] = page[-1]["id"]


def _erase(user_id: UUID) -> dict[str, int]:
    """Delete the organization, which takes everything in it along; in the cloud, each agent."""
    owned = OwnedResource.objects.filter(user_id=user_id)
    counts = Counter(owned.values_list("kind", flat=True))
    if is_cloud():
        for agent in list(list_agents(user_id=user_id)):
            delete_agent(user_id=user_id, agent_id=agent.agent_id)
    account = LettaAccount.objects.filter(pk=user_id).exclude(organization_id="").first()
    if account is not None:
        delete = partial(client.delete_organization, account.organization_id)
        wait_for(delete, close=client.upstream().close)
        counts["organization"] = 1
    owned.delete()
    LettaAccount.objects.filter(pk=user_id).delete()
    return dict(counts)


def _line(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


HOLDER: Final = Holder(name="letta", export=_export, erase=_erase)
