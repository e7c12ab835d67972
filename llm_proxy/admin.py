"""The pages of this app; each of its packages holds its own."""

from __future__ import annotations

from llm_proxy.agent_proxy import admin as agent_proxy
from llm_proxy.api_keys import admin as api_keys
from llm_proxy.usage import admin as usage
from llm_proxy.virtual_keys import admin as virtual_keys

__all__ = ("agent_proxy", "api_keys", "usage", "virtual_keys")
