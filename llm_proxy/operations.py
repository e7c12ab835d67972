"""Everything that may be asked of LiteLLM in a user's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.conf import settings

from gateway_core.errors import MethodNotAllowed, ResourceNotFound
from gateway_core.proxy.operations import BodyKind, Catalogue, Operation
from gateway_core.rates import RateClass
from llm_proxy import fields

if TYPE_CHECKING:
    from gateway_core.errors import GatewayError


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOperation(Operation):
    """An operation of the model APIs.

    Attributes:
        accepts: fields that callers may set.
        drops: fields that are taken out before the request goes on.
        tells_usage_if_asked: its streams do so in a chunk of their own, for ``stream_options``.
    """

    accepts: frozenset[str] = frozenset()
    drops: frozenset[str] = fields.ATTRIBUTION
    tells_usage_if_asked: bool = False


def _post(path: str, accepts: frozenset[str], summary: str, **traits: object) -> ModelOperation:
    return ModelOperation(
        name=path.strip("/"),
        method="POST",
        path=path,
        upstream_path=f"/v1{path}",
        accepts=accepts,
        summary=summary,
        counts_as=RateClass.LLM,
        **{"body": BodyKind.JSON, "max_bytes": settings.MAX_LLM_BYTES, **traits},  # type: ignore[arg-type]
    )


def _get(name: str, path: str, summary: str) -> ModelOperation:
    """All are answered from the list of models; see ``describe``."""
    return ModelOperation(
        name=name, method="GET", path=path, upstream_path="/v1/models", summary=summary
    )


OPERATIONS: Final = (
    _post(
        "/chat/completions",
        fields.CHAT,
        "Answer a conversation.",
        drops=fields.CHAT_DROPPED,
        streams=True,
        tells_usage_if_asked=True,
    ),
    _post(
        "/completions",
        fields.COMPLETIONS,
        "Continue a text.",
        streams=True,
        tells_usage_if_asked=True,
    ),
    _post("/embeddings", fields.EMBEDDINGS, "Embed texts."),
    _post("/responses", fields.RESPONSES, "Answer in the Responses API.", streams=True),
    _post("/messages", fields.MESSAGES, "Answer in the Anthropic API.", streams=True),
    _post("/images/generations", fields.IMAGES, "Draw a picture.", streams=True),
    _post(
        "/audio/transcriptions",
        fields.TRANSCRIPTIONS,
        "Write down speech.",
        body=BodyKind.FORM,
        max_bytes=settings.MAX_AUDIO_BYTES,
        streams=True,
    ),
    _post("/audio/speech", fields.SPEECH, "Speak a text.", streams=True),
    _post("/moderations", fields.MODERATIONS, "Classify content."),
    _post("/rerank", fields.RERANK, "Order documents by relevance."),
    _get("models", "/models", "List the models that this account may use."),
    _get("model", "/models/{model}", "Describe a model."),
    # Names like ``openai/gpt-5``, by clients that don't encode the slash; the official SDK does.
    _get("provider_model", "/models/{provider}/{model}", "Describe a provider's model."),
)


def refuse(method: str, path: str, methods: frozenset[str]) -> GatewayError:
    """Return the error for what is not in the catalogue; see ``Catalogue``."""
    if methods:
        allowed = ", ".join(sorted(methods))
        return MethodNotAllowed(
            f"{path} does not take {method}. Use {allowed}.", headers={"allow": allowed}
        )
    offered = ", ".join(operation.path for operation in OPERATIONS if "{" not in operation.path)
    return ResourceNotFound(f"There is no {path} here. There are {offered}.")


CATALOGUE: Final = Catalogue(OPERATIONS, refuse=refuse, names_have_slashes=True)
