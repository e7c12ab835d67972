"""What other apps ask of this one."""

from __future__ import annotations

from llm_proxy.agent_proxy.attribution import register_owner_check
from llm_proxy.agent_proxy.listing import agent_models
from llm_proxy.agent_proxy.refusals import recent_refusal
from llm_proxy.agent_proxy.services import AgentAddress, address_for
from llm_proxy.client.connections import close

__all__ = (
    "AgentAddress",
    "address_for",
    "agent_models",
    "close",
    "recent_refusal",
    "register_owner_check",
)
