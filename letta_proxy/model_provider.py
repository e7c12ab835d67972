"""Where the agents of an organization call their models: at the gateway, with their user's secret.

Letta calls it a provider. Its models come before the server's own under the same handle. Letta
writes the address into each agent and folder when it is made, and a later change of the provider
does not reach them (measured): so they are changed, too. Agents get an address of their own, which
says who calls. Archives keep the one they were made with: Letta has no way to change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway_core.errors import GatewayError
from gateway_core.logging import get_logger
from letta_proxy import client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from llm_proxy.services import AgentAddress

_log = get_logger("letta.models")

NAME: Final = "gateway"
# What handles begin with: of models, as Letta has it for every OpenAI provider that is not OpenAI,
# and of embedding models.
MODEL_PREFIX: Final = "openai-proxy/"
EMBEDDING_PREFIX: Final = f"{NAME}/"


@dataclass(slots=True)
class Moved:
    """How many things have been given the address, and how many can't be."""

    agents: int = 0
    folders: int = 0
    archives_left: int = 0


async def set_provider(letta_user_id: str, address: AgentAddress) -> None:
    """Make the organization's provider, or give it the address and have it asked for its models."""
    provider_id = await client.find_provider(NAME, letta_user_id)
    if provider_id is None:
        await client.create_provider(NAME, letta_user_id, url=address.url, key=address.secret)
        return
    await client.change_provider(provider_id, letta_user_id, url=address.url, key=address.secret)
    await client.refresh_provider(provider_id, letta_user_id)


async def move_all(
    letta_user_id: str,
    address: AgentAddress,
    *,
    going_on: Callable[[], Awaitable[object]] | None = None,
    is_dry: bool = False,
) -> Moved:
    """Give the address to every agent and folder that has another one.

    Args:
        going_on: called before each change.
        is_dry: only count.
    """
    moved = Moved()
    wish = {"show_hidden_agents": "true", "include": "agent.tags"}
    for collection, changes, query in (
        ("agents", agent_changes, wish),
        ("folders", embedding_changes, {}),
    ):
        async for thing in client.things(collection, letta_user_id, **query):
            payload = changes(thing, address)
            if not payload:
                continue
            setattr(moved, collection, getattr(moved, collection) + 1)
            if not is_dry:
                if going_on is not None:
                    await going_on()
                await client.change(collection, thing["id"], letta_user_id, payload)
    async for archive in client.things("archives", letta_user_id):
        moved.archives_left += bool(embedding_changes(archive, address))
    return moved


async def move_agent(letta_user_id: str, agent: Any, address: AgentAddress) -> None:
    """Give an agent that is new or changed its own address, and its sleeptime agent likewise.

    If that fails, the agent still has the provider's: its calls are paid for, only nobody can say
    by which agent.
    """
    try:
        await _move(letta_user_id, agent, address)
        group = agent.get("multi_agent_group") if isinstance(agent, dict) else None
        for agent_id in (group or {}).get("agent_ids") or ():
            await _move(
                letta_user_id, await client.read("agents", agent_id, letta_user_id), address
            )
    except GatewayError as error:
        _log.warning("agent has no address of its own", code=error.code)


def agent_changes(agent: Any, address: AgentAddress) -> dict[str, Any]:
    """Return what has to be changed for an agent to call its models at its own address."""
    own = address.of_agent(agent["id"])
    changes = _embedding_changes(agent, own)
    config = agent.get("llm_config") or {}
    wanted = {
        "model_endpoint": own,
        "model_endpoint_type": "openai",
        "provider_name": NAME,
        "provider_category": "byok",
    }
    if config and not wanted.items() <= config.items():
        changes["llm_config"] = config | wanted
    # With the agent's own model said by name, Letta looks up whose that is whenever it compacts;
    # with none, it takes the model as the agent has it (measured).
    compaction = agent.get("compaction_settings") or {}
    if compaction.get("model") and compaction["model"] == config.get("handle"):
        changes["compaction_settings"] = {"model": None}
    return changes


def embedding_changes(thing: Any, address: AgentAddress) -> dict[str, Any]:
    """Return what has to be changed for a folder or an archive to embed at the address."""
    return _embedding_changes(thing, address.url)


def _embedding_changes(thing: Any, url: str) -> dict[str, Any]:
    config = thing.get("embedding_config") or {}
    wanted = {"embedding_endpoint": url, "embedding_endpoint_type": "openai"}
    if not config or wanted.items() <= config.items():
        return {}
    return {"embedding_config": config | wanted}


async def _move(letta_user_id: str, agent: Any, address: AgentAddress) -> None:
    if not isinstance(agent, dict) or not isinstance(agent.get("id"), str):
        return
    if changes := agent_changes(agent, address):
        await client.change("agents", agent["id"], letta_user_id, changes)
