"""Models: which handles an organization can use, and what configuration a handle stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway_project.sandbox.letta.problems import DetailError

if TYPE_CHECKING:
    from gateway_project.sandbox.letta.store import Actor, Row, Store

# Calls to this endpoint are answered by the stand-in itself; nothing listens there.
BUILT_IN_ENDPOINT: Final = "http://model.invalid/v1"
EMBEDDING_MODELS: Final = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
_BASE_MODELS: Final = {"gpt-4o-mini": 128000, "stub-chat": 30000}
_HOSTED_ENDPOINT: Final = "https://inference.letta.com/v1/"
_DEFAULT_CONTEXT: Final = 30000


def llm_config(model: str, *, endpoint: str, provider: str, category: str) -> Row:
    """Return the ``llm_config`` of a model, which names the endpoint that is really called."""
    return {
        "model": model,
        "display_name": None,
        "model_endpoint_type": "openai",
        "model_endpoint": endpoint,
        "provider_name": provider,
        "provider_category": category,
        "model_wrapper": None,
        "context_window": _BASE_MODELS.get(model, _DEFAULT_CONTEXT),
        "put_inner_thoughts_in_kwargs": False,
        "handle": f"openai-proxy/{model}",
        "temperature": 1.0,
        "max_tokens": 16384,
        "enable_reasoner": False,
        "reasoning_effort": None,
        "max_reasoning_tokens": 0,
        "effort": None,
        "frequency_penalty": None,
        "compatibility_type": None,
        "verbosity": None,
        "tier": None,
        "parallel_tool_calls": False,
        "response_format": None,
        "strict": False,
        "return_logprobs": False,
        "top_logprobs": None,
        "return_token_ids": False,
        "tool_call_parser": None,
    }


def embedding_config(model: str, *, endpoint: str, handle: str) -> Row:
    """Return the ``embedding_config`` of an embedding model."""
    return {
        "embedding_endpoint_type": "openai",
        "embedding_endpoint": endpoint,
        "embedding_model": model,
        "embedding_dim": EMBEDDING_MODELS[model],
        "embedding_chunk_size": 300,
        "handle": handle,
        "batch_size": 32,
        "azure_endpoint": None,
        "azure_version": None,
        "azure_deployment": None,
    }


def providers_of(store: Store, actor: Actor) -> list[Row]:
    """Return the actor's organization's model providers that are not deleted."""
    return [row for row in store.own_rows("providers", actor) if not row["_is_deleted"]]


def llm_configs(store: Store, actor: Actor) -> list[Row]:
    """Return the models of the actor's organization; its own shadow the base under a handle."""
    hosted = llm_config("letta-free", endpoint=_HOSTED_ENDPOINT, provider="letta", category="base")
    configs = [hosted | {"handle": "letta/letta-free"}] + [
        llm_config(model, endpoint=BUILT_IN_ENDPOINT, provider="openai", category="base")
        for model in _BASE_MODELS
    ]
    for provider in providers_of(store, actor):
        configs += [
            llm_config(
                model, endpoint=provider["base_url"], provider=provider["name"], category="byok"
            )
            for model in provider["_models"]
        ]
    return list({config["handle"]: config for config in configs}.values())


def embedding_configs(store: Store, actor: Actor) -> list[Row]:
    """Return all embedding models of the actor's organization."""
    endpoints = {"openai": BUILT_IN_ENDPOINT}
    for provider in providers_of(store, actor):
        if provider["last_synced"]:
            endpoints[provider["name"]] = provider["base_url"]
    return [
        embedding_config(model, endpoint=endpoint, handle=f"{name}/{model}")
        for name, endpoint in endpoints.items()
        for model in EMBEDDING_MODELS
    ]


def resolve_llm(store: Store, actor: Actor, handle: str) -> Row:
    """Return the configuration of a handle.

    Raises:
        DetailError: 404, there is no such handle.
    """
    for config in llm_configs(store, actor):
        if config["handle"] == handle:
            return config
    raise DetailError(404, f"NOT_FOUND: Handle {handle} not found, must be one of []")


def resolve_embedding(store: Store, actor: Actor, handle: str) -> Row:
    """Return the embedding configuration of a handle.

    Raises:
        DetailError: 400, there is no such handle.
    """
    for config in embedding_configs(store, actor):
        if config["handle"] == handle:
            return config
    raise DetailError(400, f"INVALID_ARGUMENT: Embedding model {handle} not found")


def model_shape(config: Row) -> Row:
    """Return a model as ``GET /v1/models/`` lists it."""
    listed = {
        "handle": config["handle"],
        "name": config["model"],
        "display_name": config["model"],
        "provider_type": "openai",
        "provider_name": config["provider_name"],
        "model_type": "llm",
    }
    return listed | config | {"max_context_window": config["context_window"], **listed}


def embedding_shape(config: Row) -> Row:
    """Return an embedding model as ``GET /v1/models/embedding`` lists it."""
    return {
        "handle": config["handle"],
        "name": config["embedding_model"],
        "display_name": config["embedding_model"],
        "provider_type": "openai",
        "provider_name": config["handle"].partition("/")[0],
        "model_type": "embedding",
        **config,
    }
