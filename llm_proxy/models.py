"""The rows of this app; each of its packages holds its own."""

from __future__ import annotations

from llm_proxy.agent_proxy.models import AgentSecret
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.usage.models import UsageRecord
from llm_proxy.virtual_keys.models import Installation, VirtualKey

__all__ = ("AgentSecret", "ApiKey", "Installation", "UsageRecord", "VirtualKey")
