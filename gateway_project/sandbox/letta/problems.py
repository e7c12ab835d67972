"""The three shapes in which the real server reports an error, and its 422.

    ProblemError
    ├── DetailError    {"detail": text or object}
    ├── ModelError     {"error": {"type", "message", "detail"}}   the model provider failed
    ├── InvalidError   {"trace_id", "detail": repr of a list, "examples"?}   always 422
    └── UnknownError   {"detail": "An unknown error occurred"}   500, and the connection drops
        └── EmbeddingError   likewise; files tell what it was

Measured on 0.16.8; the texts too, for some of them tell more than they should.
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


class UnknownError(ProblemError):
    """The real server's own failure: a 500, after which it drops the connection.

    It does so without saying it; here ``connection: close`` does, which spares the log a traceback
    for each.
    """

    def __init__(self) -> None:
        super().__init__(500, {"detail": "An unknown error occurred"})


class EmbeddingError(UnknownError):
    """An endpoint that gave no vector. Callers don't hear of it."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        super().__init__()


def duplicate(kind: str, constraint: str, key: str) -> DetailError:
    """Return the 409 for a row that exists. As the real server's, it shows the SQL."""
    told = (
        f"A unique constraint was violated for {kind}. Check your input for duplicates: "
        "(sqlalchemy.dialects.postgresql.asyncpg.IntegrityError) "
        "<class 'asyncpg.exceptions.UniqueViolationError'>: duplicate key value violates unique "
        f'constraint "{constraint}"\nDETAIL:  Key {key} already exists.\n'
    )
    return DetailError(409, f"{told}[SQL: INSERT INTO {kind.lower()}s ...]")


class InvalidError(ProblemError):
    """A body, path or query that does not validate. ``detail`` is Python's repr of the list."""

    def __init__(self, faults: list[dict[str, Any]], *, examples: list[str] | None = None) -> None:
        body: dict[str, Any] = {"trace_id": "", "detail": str(faults)}
        if examples:
            body["examples"] = examples
        super().__init__(422, body)


def missing(*location: str | int, given: object = None) -> InvalidError:
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


def wrong_type(kind: str, *location: str, given: object) -> InvalidError:
    """Return the 422 for a field that must be of a ``kind``: list, string, dictionary."""
    fault = {"type": f"{kind}_type", "loc": location, "msg": f"Input should be a valid {kind}"}
    return InvalidError([fault | {"input": given}])


def not_one_of(choices: str, *location: str | int, given: object) -> InvalidError:
    """Return the 422 for a field that must be one of a few words."""
    fault = {"type": "literal_error", "loc": location, "msg": f"Input should be {choices}"}
    return InvalidError([fault | {"input": given, "ctx": {"expected": choices}}])


def refused_value(text: str, given: object) -> InvalidError:
    """Return the 422 of a check over the whole body."""
    error = ValueError(text)
    fault = {"type": "value_error", "loc": ("body",), "msg": f"Value error, {text}"}
    return InvalidError([fault | {"input": given, "ctx": {"error": error}}])


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
