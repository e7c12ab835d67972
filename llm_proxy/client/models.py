"""LiteLLM's models."""

from __future__ import annotations

from typing import Any

from llm_proxy.client.calls import check, send


async def list_models() -> Any:
    """Return LiteLLM's own list of all models, what stands for several included."""
    status, answer = await send("GET", "/v1/models?return_wildcard_routes=true")
    check(status, answer)
    return answer
