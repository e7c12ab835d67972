"""JSON Schema (2020-12) with patterns that take linear time, and faults in place of its errors.

``re``, which jsonschema uses, can be kept busy for years by a pattern of six characters; RE2 can't.
"""

from __future__ import annotations

import json
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

import re2
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from templates_app.agent_file.faults import Fault, pointer_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


def faults(schema: Any, instance: Any, *, at: str = "") -> Iterator[Fault]:
    """Yield what does not fit a schema.

    Args:
        schema: one that has no ``schema_faults``.
        at: JSON pointer to the instance, for the faults' pointers.
    """
    return _as_faults(_Validator(schema, format_checker=_FORMATS).iter_errors(instance), at)


def schema_faults(schema: Any, *, at: str = "") -> Iterator[Fault]:
    """Yield what is not JSON Schema in a schema."""
    for fault in _as_faults(_META.iter_errors(schema), at):
        yield Fault(fault.pointer, "is not as JSON Schema 2020-12 has it")


def pattern_complaint(pattern: str) -> str:
    """Say what is wrong with a pattern, empty when nothing is."""
    if len(pattern) > _LONGEST_PATTERN:
        return f"must have at most {_LONGEST_PATTERN} characters"
    try:
        re2.compile(pattern, _OPTIONS)
    except re2.error:
        return "is not a pattern that RE2 reads, which has no look-around and no back-references"
    return ""


def _as_faults(errors: Iterable[ValidationError], at: str) -> Iterator[Fault]:
    for error in errors:
        yield Fault(at + pointer_to(error.absolute_path), _complaint(error))


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
        return shorten(f"must be one of {', '.join(map(json.dumps, allowed))}", _LONGEST_MESSAGE)
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


_Validator: Final = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "required": _required,
        "additionalProperties": _additional,
        "propertyNames": _names,
        "pattern": _pattern,
    },
)
