"""JSON Schema (2020-12) with patterns that take linear time, and faults in place of its errors.

``re``, which jsonschema uses, can be kept busy for years by a pattern of six characters; RE2 can't.
"""

from __future__ import annotations

import json
import threading
from contextvars import ContextVar
from itertools import islice
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

import re2
import rfc8785
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from templates_app.agent_file.faults import Fault, pointer_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jsonschema.protocols import Validator

# Beside a pattern: what is said to people who can't read it.
COMPLAINT: Final = "x-complaint"
_LONGEST_PATTERN: Final = 200
_LONGEST_MESSAGE: Final = 300
# Whose messages are made below.
_SAYS_ITSELF: Final = ("additionalProperties", "required")
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_KINDS: Final = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a text",
}
# What each keyword's failure reads like; {0} is the keyword's value.
_COMPLAINTS: Final = {
    "exclusiveMaximum": "must be less than {0}",
    "exclusiveMinimum": "must be more than {0}",
    "format": "must be a valid {0}",
    "maximum": "must be at most {0}",
    "maxItems": "must have at most {0} items",
    "maxLength": "must have at most {0} characters",
    "maxProperties": "must have at most {0} members",
    "minimum": "must be at least {0}",
    "minItems": "must have at least {0} items",
    "minLength": "must have at least {0} characters",
    "minProperties": "must have at least {0} members",
    "multipleOf": "must be a multiple of {0}",
    "pattern": "must match {0}",
    "uniqueItems": "must not have the same item twice",
}
# The checkers that jsonschema has without further packages.
_FORMATS: Final = FormatChecker(("date", "email", "ipv4", "ipv6", "uuid"))
_META: Final[Validator] = Draft202012Validator(Draft202012Validator.META_SCHEMA)
# About 0.2 s of them (measured), in which everybody else gets the interpreter a few times only. The
# largest file that is made for use takes a tenth. A schema of a few lines can ask for billions.
_MOST_CHECKS: Final = 60_000
_checks_left: ContextVar[list[int]] = ContextVar("checks_left")
# Who checks holds the interpreter: of several the event loop would get it after each of them.
_one_at_a_time: Final = threading.Lock()


class _TooMuch(Exception):
    """There are no checks left."""


def faults(schema: Any, instance: Any, *, at: str = "") -> list[Fault]:
    """Return what does not fit a schema, or that it takes too long to tell.

    Args:
        schema: one that has no ``schema_faults``.
        at: JSON pointer to the instance, for the faults' pointers.
    """
    checked = _Validator(schema, format_checker=_FORMATS)
    token = _checks_left.set([_MOST_CHECKS])
    try:
        with _one_at_a_time:
            return [
                Fault(at + pointer_to(error.absolute_path), _complaint(error))
                for error in checked.iter_errors(instance)
            ]
    except _TooMuch:
        return [Fault(at, "can't be checked in time. Make it or its schema smaller")]
    finally:
        _checks_left.reset(token)


def schema_faults(schema: Any, *, at: str = "") -> Iterator[Fault]:
    """Yield what is not JSON Schema in a schema."""
    with _one_at_a_time:
        errors = list(_META.iter_errors(schema))
    for error in errors:
        where = at + pointer_to(error.absolute_path)
        yield Fault(where, "is not as JSON Schema 2020-12 has it")


def pattern_complaint(pattern: str) -> str:
    """Say what is wrong with a pattern, empty when nothing is."""
    if len(pattern) > _LONGEST_PATTERN:
        return f"must have at most {_LONGEST_PATTERN} characters"
    try:
        re2.compile(pattern, _OPTIONS)
    except re2.error:
        return "is not a pattern that RE2 reads, which has no look-around and no back-references"
    return ""


def _complaint(error: ValidationError) -> str:
    """Return a message that does not repeat the instance, which may be a secret."""
    keyword: Any = error.validator
    wanted: Any = error.validator_value
    schema: Any = error.schema
    if keyword == "pattern" and isinstance(schema.get(COMPLAINT), str):
        return str(schema[COMPLAINT])
    if keyword in _SAYS_ITSELF:
        return error.message
    if keyword == "type":
        kinds = [wanted] if isinstance(wanted, str) else wanted
        return f"must be {' or '.join(_KINDS[kind] for kind in kinds)}"
    if keyword in ("const", "enum"):
        allowed = [wanted] if keyword == "const" else wanted
        shown = ", ".join(map(json.dumps, islice(allowed, _LONGEST_MESSAGE)))
        return shorten(f"must be one of {shown}", _LONGEST_MESSAGE)
    if keyword in _COMPLAINTS:
        return _COMPLAINTS[keyword].format(wanted)
    return f"does not fit {keyword} of its schema"


def _required(
    validator: Any, names: list[str], instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for name in names:
            if name not in instance:
                yield ValidationError("is required", path=(name,))


def _additional(
    validator: Any, allowed: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for name in instance:
        if name in schema.get("properties", {}):
            continue
        if allowed is False:
            yield ValidationError("is not known here. Remove it", path=(name,))
        else:
            yield from validator.descend(instance[name], allowed, path=name)


def _names(validator: Any, allowed: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for name in instance:
            yield from validator.descend(name, allowed, path=name)


def _pattern(
    validator: Any, pattern: str, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    is_text = validator.is_type(instance, "string")
    if is_text and not re2.compile(pattern, _OPTIONS).search(instance):
        yield ValidationError("does not match")


def _unique(
    validator: Any, is_wanted: Any, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    """In time by the number of items; jsonschema compares each with each."""
    items = instance if is_wanted and validator.is_type(instance, "array") else ()
    if len({rfc8785.dumps(item) for item in items}) < len(items):
        yield ValidationError("has an item twice")


def _counted(check: Callable[..., Any]) -> Callable[..., Any]:
    """Return the check of a keyword, done as long as checks are left."""

    def counted(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
        left = _checks_left.get()
        left[0] -= 1 + (len(wanted) if isinstance(wanted, dict | list) else 0)
        if left[0] < 0:
            raise _TooMuch
        yield from check(validator, wanted, instance, schema) or ()

    return counted


_KEYWORDS: Final = Draft202012Validator.VALIDATORS | {
    "required": _required,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "pattern": _pattern,
    "uniqueItems": _unique,
}
_Validator: Final = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {name: _counted(check) for name, check in _KEYWORDS.items()}
)
