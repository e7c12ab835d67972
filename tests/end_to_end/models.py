"""Models that the real upstreams offer; ``tests/upstreams/litellm_config.yaml`` has them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionUserMessageParam

PRICED: Final = "gpt-4o-mini"
PRICE_OF_A_CALL: Final = 0.05
AGENT_MODEL: Final = "openai-proxy/stub-chat"
AGENT_EMBEDDING: Final = "openai/text-embedding-3-small"


def say(text: str) -> list[ChatCompletionUserMessageParam]:
    """Return a conversation of one message."""
    return [{"role": "user", "content": text}]
