"""What agents may ask of LiteLLM: what Letta 0.16.8 calls at an OpenAI provider (measured)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway_core.errors import MethodNotAllowed, ResourceNotFound
from gateway_core.proxy.operations import Catalogue
from gateway_core.rates import RateClass
from llm_proxy import operations

if TYPE_CHECKING:
    from gateway_core.errors import GatewayError
    from llm_proxy.operations import ModelOperation

LIST_MODELS: Final = "models"

# The Responses API for models named o1 to o4 and gpt-5, chat completions for all others.
_CALLED: Final = frozenset({"chat/completions", "responses", "embeddings", LIST_MODELS})
# What Letta sends to some models and LiteLLM needs not: arguments for their prompt template.
_LETTAS_OWN: Final = frozenset({"chat_template_args"})


def _for_agents(operation: ModelOperation) -> ModelOperation:
    return replace(
        operation,
        path=f"/{{user_id}}/proxy{operation.path}",
        drops=operation.drops | _LETTAS_OWN,
        counts_as=RateClass.PROXY,
    )


def _refuse(_method: str, _path: str, methods: frozenset[str]) -> GatewayError:
    """Say nothing of the path: it may hold a secret that is not where it should be."""
    if methods:
        allowed = ", ".join(sorted(methods))
        return MethodNotAllowed(f"Use {allowed} here.", headers={"allow": allowed})
    return ResourceNotFound(f"Agents call {', '.join(sorted(_CALLED))} here.")


_OPERATIONS: Final = [_for_agents(one) for one in operations.OPERATIONS if one.name in _CALLED]
_CHAT: Final = next(one for one in _OPERATIONS if one.name == "chat/completions")
# For what posts to the address that it was given, and adds nothing to it.
_PLAIN: Final = replace(_CHAT, name="chat", path="/{user_id}/proxy")

CATALOGUE: Final = Catalogue([*_OPERATIONS, _PLAIN], refuse=_refuse)
