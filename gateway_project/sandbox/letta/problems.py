"""The three shapes in which the real server reports an error, and its 422.

ProblemError
├── DetailError    {"detail": text or object}
├── ModelError     {"error": {"type", "message", "detail"}}   the model provider failed
└── InvalidError   {"trace_id", "detail": repr of a list, "examples"?}   always 422
"""

from __future__ import annotations

from typing import Any


class ProblemError(Exception):
    """An answer that is not 2xx, with its exact body."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self.body = body
        super().__init__(f"{status}: {body}")


class DetailError(ProblemError):
    """FastAPI's usual shape; ``extra`` members stand beside ``detail``."""

    def __init__(self, status: int, detail: str | dict[str, Any], **extra: str) -> None:
        self.detail = detail
        super().__init__(status, {"detail": detail, **extra})


class ModelError(ProblemError):
    """A failure of the model provider, with its own shape and status."""

    def __init__(self, status: int, kind: str, message: str, detail: str) -> None:
        self.kind = kind
        self.message = message
        self.detail = detail
        super().__init__(status, {"error": {"type": kind, "message": message, "detail": detail}})


class ContextExceededError(DetailError):
    """The prompt is longer than the model's context. A plain 400, unlike other model failures."""


class InvalidError(ProblemError):
    """A body, path or query that does not validate. ``detail`` is Python's repr of the list."""

    def __init__(self, faults: list[dict[str, Any]], *, examples: list[str] | None = None) -> None:
        body: dict[str, Any] = {"trace_id": "", "detail": str(faults)}
        if examples:
            body["examples"] = examples
        super().__init__(422, body)


def missing(*location: str, given: object = None) -> InvalidError:
    """Return the 422 for a required field that is absent."""
    return InvalidError(
        [{"type": "missing", "loc": location, "msg": "Field required", "input": given}]
    )


def unknown_field(name: str, value: object) -> InvalidError:
    """Return the 422 of the models that forbid further fields."""
    return InvalidError(
        [
            {
                "type": "extra_forbidden",
                "loc": ("body", name),
                "msg": "Extra inputs are not permitted",
                "input": value,
            }
        ]
    )


def not_a_list(name: str, value: object) -> InvalidError:
    """Return the 422 for a field that must be a list."""
    return InvalidError(
        [
            {
                "type": "list_type",
                "loc": ("body", name),
                "msg": "Input should be a valid list",
                "input": value,
            }
        ]
    )


def not_json(position: int, reason: str) -> InvalidError:
    """Return the 422 for a body that is not JSON."""
    return InvalidError(
        [
            {
                "type": "json_invalid",
                "loc": ("body", position),
                "msg": "JSON decode error",
                "input": {},
                "ctx": {"error": reason},
            }
        ]
    )
