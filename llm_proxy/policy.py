"""What of a caller's JSON body goes on to LiteLLM.

Everything that LiteLLM would take as an order about routing, credentials, limits, callbacks or
attribution is a body field to it. So fields pass by an allow-list (``fields``), not by a list of
the dangerous ones, which grows with every release.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway_core.errors import FieldForbidden, FieldInvalid
from llm_proxy.references import check_references
from llm_proxy.refusals import model_denied
from llm_proxy.shape import check_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_proxy.operations import ModelOperation

_BAD_REQUEST: Final = 400  # what SDKs show as BadRequestError, here for all of a body's faults
_MODEL_CHARACTERS: Final = 256
# The name becomes part of addresses and headers on its way. None in use needs more than these.
_MODEL_SEGMENT: Final = r"(?!\.(?:/|\Z))[\w.:@+*-]+(?: [\w.:@+*-]+)*"
_MODEL: Final = re.compile(rf"(?!.*\.\.){_MODEL_SEGMENT}(?:/{_MODEL_SEGMENT})*", re.ASCII).fullmatch
# Arguments of the function that fills in a model's template, which vLLM would pass on with the
# template's variables: a program, and what makes it run long (CVE-2025-61620).
_NOT_FOR_TEMPLATES: Final = ("chat_template", "tokenize", "tools")
_SHOWN_CHARACTERS: Final = 80
_FILE: Final = "file"


def police(operation: ModelOperation, body: Any) -> dict[str, Any]:
    """Return the body as it may go on, without what is dropped in silence.

    Raises:
        FieldInvalid: 400, it is not an object, names no model, or is too deep or too wide.
        FieldForbidden: 400, a field that callers may not set, or one that points where it must not.
    """
    if type(body) is not dict:
        raise FieldInvalid("The body must be a JSON object.", status=_BAD_REQUEST)
    if not operation.accepts.issuperset(body):
        _drop(operation, body)
    _check_model(body.get("model"))
    check_shape(body)
    _check_template_kwargs(body.get("chat_template_kwargs"))
    check_references(body)
    return body


def check_model_allowed(model: str, allow: Callable[[str], bool]) -> None:
    """Refuse a model that the caller may not use, whatever LiteLLM still thinks.

    Raises:
        ModelNotAllowed: it is one.
    """
    if not allow(model):
        raise model_denied()


def _drop(operation: ModelOperation, body: dict[str, Any]) -> None:
    for name in [name for name in body if name not in operation.accepts]:
        if name not in operation.drops:
            raise _forbidden(name)
        del body[name]


def _forbidden(name: str) -> FieldForbidden:
    shown = name[:_SHOWN_CHARACTERS]
    return FieldForbidden(
        f"The field {shown!r} can't be set here. Remove it: credentials, routing, limits and "
        "attribution are the gateway's.",
        status=_BAD_REQUEST,
        param=shown,
    )


def _check_model(model: Any) -> None:
    if type(model) is not str or not model.strip():
        raise FieldInvalid(
            "Name a model in the field model. GET /api/v1/llm/models lists those you may use.",
            status=_BAD_REQUEST,
            param="model",
        )
    # To LiteLLM, a comma makes a batch of calls, and an address in a name is where to send it.
    if "," in model or "://" in model or len(model) > _MODEL_CHARACTERS:
        raise FieldForbidden("Name one model, by its name.", status=_BAD_REQUEST, param="model")
    if not _MODEL(model):
        raise FieldInvalid(
            "No model has such a name. GET /api/v1/llm/models lists those you may use.",
            status=_BAD_REQUEST,
            param="model",
        )


def _check_template_kwargs(variables: Any) -> None:
    if variables is None:
        return
    if type(variables) is not dict:
        raise FieldInvalid(
            "chat_template_kwargs must be a JSON object.",
            status=_BAD_REQUEST,
            param="chat_template_kwargs",
        )
    for name in _NOT_FOR_TEMPLATES:
        if name in variables:
            raise _forbidden(f"chat_template_kwargs.{name}")


class FormPolicy:
    """The same for a multipart form, field by field as it streams.

    Args:
        facts: the record's, where the model is noted.
        allow: says whether the caller may use a model.
    """

    def __init__(
        self, operation: ModelOperation, facts: dict[str, Any], allow: Callable[[str], bool]
    ) -> None:
        self._operation = operation
        self._facts = facts
        self._allow = allow

    def check(self, name: str, value: str | None) -> None:
        """See a field, None for the content of a file; raises as ``police`` does."""
        if name not in self._operation.accepts or (value is None) != (name == _FILE):
            raise _forbidden(name)
        if name == "model":
            _check_model(value)
            check_model_allowed(str(value), self._allow)
            self._facts["model"] = value
        elif value is not None:
            check_references({name.removesuffix("[]"): [value]})
