"""Models that the real upstreams offer; ``tests/upstreams/litellm_config.yaml`` has them all."""

from __future__ import annotations

from typing import Any, Final

PRICED: Final = "gpt-4o-mini"
PRICE_OF_A_CALL: Final = 0.05
AGENT_MODEL: Final = "openai-proxy/stub-chat"
AGENT_EMBEDDING: Final = "gateway/text-embedding-3-small"


def say(text: str) -> list[Any]:
    """Return a conversation of one message, in the form that all SDKs share."""
    return [{"role": "user", "content": text}]
