"""The variables of an Agent File: declared by a JSON Schema, used as ``{{name}}``, some secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from templates_app.agent_file.faults import Fault, pointer_to
from templates_app.agent_file.places import one_value, values
from templates_app.agent_file.schemas import faults

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA: Final = "/persona/variables_schema"
SECRET: Final = "x-secret"  # noqa: S105 - a keyword of schemas
NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
PLACEHOLDER: Final = re.compile(rf"\{{\{{\s*({NAME})\s*\}}\}}", re.ASCII)
# What an agent is made from; of the rest of a file only patches use variables, in their values.
PATCHED: Final = "/migrations/*/steps/*/patch/*/value"
SECTIONS: Final[tuple[str, ...]] = ("engine", "memory_layout", "tools", "tool_env", "init_messages")


def declared(document: Any) -> dict[str, Any]:
    """Return the schema of each variable that a file declares, by name."""
    return one_value(document, f"{SCHEMA}/properties", dict) or {}


def uses(document: Any) -> Iterator[tuple[str, str]]:
    """Yield pointer and name of every ``{{name}}`` in a file."""
    for pointer, text in _texts(document):
        for match in PLACEHOLDER.finditer(text):
            yield pointer, match[1]


def is_secret(schema: Any) -> bool:
    """Say whether a variable's schema marks it as secret."""
    return isinstance(schema, dict) and schema.get(SECRET) is True


def secret_names(document: Any) -> frozenset[str]:
    """Return the names of the variables that a file marks as secret: never to be shown."""
    return frozenset(name for name, schema in declared(document).items() if is_secret(schema))


def names(document: Any) -> frozenset[str]:
    """Return the names of the variables that a file declares."""
    return frozenset(declared(document))


def with_defaults(document: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values, and the defaults of those that are absent."""
    defaults = {
        name: schema["default"]
        for name, schema in declared(document).items()
        if isinstance(schema, dict) and "default" in schema
    }
    return {**defaults, **values}


def value_faults(document: Any, values: Mapping[str, Any], *, at: str = "") -> Iterator[Fault]:
    """Yield what is wrong with values for a valid file, its defaults being among them.

    Args:
        at: JSON pointer to the values, for the faults' pointers.
    """
    yield from faults(one_value(document, SCHEMA, dict) or {}, dict(values), at=at)
    for name in sorted(set(values) - set(declared(document))):
        yield Fault(at + pointer_to([name]), "is no variable of this template")
    for name in sorted({name for _, name in uses(document)} - set(values)):
        yield Fault(at + pointer_to([name]), "is required")


def _texts(document: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(document, dict):
        return
    for section in SECTIONS:
        yield from _texts_in(document.get(section), f"/{section}")
    prompt = "/persona/system_prompt"
    yield from _texts_in(one_value(document, prompt, str), prompt)
    for pointer, value in values(document, PATCHED, object):
        yield from _texts_in(value, pointer)


def _texts_in(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts_in(item, pointer + pointer_to([name]))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts_in(item, f"{pointer}/{index}")
