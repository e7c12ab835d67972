"""Whether ``variables_schema`` is one that values can safely be checked against.

References are refused: with them a schema of a few lines takes forever, or asks other servers.
A large one is, too: each schema in it takes a quarter of a millisecond to look at (measured).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from templates_app.agent_file.faults import Fault, pointer_to
from templates_app.agent_file.places import one_value, values
from templates_app.agent_file.schemas import faults, pattern_complaint, schema_faults
from templates_app.agent_file.variables import NAME, SCHEMA, SECRET, declared, is_secret, uses

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NOT_READ: Final = (
    *("$ref", "$dynamicRef", "$id", "$anchor", "$dynamicAnchor", "$vocabulary"),
    "patternProperties",
)
_HOLDS_VALUES: Final = ("const", "default", "enum", "examples", "dependentRequired")
_HOLDS_BY_NAME: Final = ("$defs", "dependentSchemas", "properties")
_NAME: Final = re.compile(NAME, re.ASCII).fullmatch
_IN_TOOLS: Final = "/tool_env/"
_IS_VARIABLE: Final = re.compile(rf"{SCHEMA}/properties/[^/]*").fullmatch
_MOST_VALUES: Final = 2_000


def declaration_faults(document: Any) -> Iterator[Fault]:
    """Yield what is wrong with the variables that a file declares and uses."""
    schema = one_value(document, SCHEMA, dict)
    if schema is None:
        return
    if _size(schema) > _MOST_VALUES:
        yield Fault(SCHEMA, f"must have at most {_MOST_VALUES} values")
        return
    wrong = [*schema_faults(schema, at=SCHEMA), *_unread(schema, SCHEMA)]
    yield from wrong
    for name in declared(document):
        if not _NAME(name):
            where = f"{SCHEMA}/properties{pointer_to([name])}"
            yield Fault(where, "must be named in letters, digits and underscores, 64 at most")
    if not wrong:
        yield from _defaults(document)
    yield from _uses(document)


def unused(document: Any) -> Iterator[Fault]:
    """Yield the variables that a file declares and does not use."""
    used = {name for _, name in uses(document)}
    for name in declared(document):
        if name not in used:
            yield Fault(f"{SCHEMA}/properties{pointer_to([name])}", "is not used in any text")


def _size(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    return 1 + (sum(map(_size, inner)) if isinstance(value, dict | list) else 0)


def _unread(schema: dict[str, Any], where: str) -> Iterator[Fault]:
    """Yield keywords that would be followed, and patterns that can't be."""
    for keyword, value in schema.items():
        here = where + pointer_to([keyword])
        if keyword in _NOT_READ or (keyword == "$schema" and (where, value) != (SCHEMA, _DIALECT)):
            yield Fault(here, "is not read here. Write the schema out, in JSON Schema 2020-12")
        elif keyword == "pattern" and isinstance(value, str) and (why := pattern_complaint(value)):
            yield Fault(here, why)
        elif keyword == SECRET and not _IS_VARIABLE(where):
            yield Fault(here, "is heeded of whole variables only. Make all of this one secret")
        elif keyword not in _HOLDS_VALUES:
            for pointer, inner in _inside(keyword, value, here):
                yield from _unread(inner, pointer)


def _inside(keyword: str, value: Any, here: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict) and keyword not in _HOLDS_BY_NAME:
        yield here, value
    else:
        for pointer, inner in values(value, "/*", dict):
            yield here + pointer, inner


def _defaults(document: Any) -> Iterator[Fault]:
    where = f"{SCHEMA}/properties"
    schemas = {name: one for name, one in declared(document).items() if isinstance(one, dict)}
    for name, schema in schemas.items():
        if not isinstance(schema.get(SECRET, False), bool):
            yield Fault(f"{where}{pointer_to([name, SECRET])}", "must be true or false")
        if "default" in schema and is_secret(schema):
            yield Fault(
                f"{where}{pointer_to([name, 'default'])}", "would not stay secret. Leave it out"
            )
    # All at once: they share what a document may take.
    given = {name: {"default": one["default"]} for name, one in schemas.items() if "default" in one}
    wanted = {name: {"properties": {"default": schemas[name]}} for name in given}
    yield from faults({"properties": wanted}, given, at=where)


def _uses(document: Any) -> Iterator[Fault]:
    known = declared(document)
    for pointer, name in uses(document):
        if name not in known:
            yield Fault(pointer, f"uses {{{{{name}}}}}, which {SCHEMA} does not declare")
        elif is_secret(known[name]) and not pointer.startswith(_IN_TOOLS):
            yield Fault(pointer, f"would show the secret {{{{{name}}}}}. Use it in tool_env only")
