"""What an upstream's OpenAPI document says of each operation, small enough to be kept and compared.

A fingerprint covers parameters, body and successful answers with every schema that they refer to.
Words for people (descriptions, titles, examples) are left out of it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_METHODS: Final = frozenset({"get", "put", "post", "delete", "patch", "head", "options", "trace"})
_WORDS: Final = frozenset({"description", "title", "summary", "example", "examples", "deprecated"})
_DIGITS: Final = 16
_ID_NAME: Final = re.compile(r"(^|_)ids?$").search
_CURSORS: Final = frozenset({"before", "after", "cursor"})
_UUID_PATTERN: Final = "[0-9a-f]{8}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One operation of a document.

    Attributes:
        fingerprint: hexadecimal digits that change with its parameters, body and answers.
        ids: where an id can stand: ``?name`` in the query, a JSON pointer with ``*`` for each item
            of a list in the body.
    """

    fingerprint: str
    ids: tuple[str, ...]


def describe(document: Mapping[str, Any]) -> dict[str, Described]:
    """Return the operations of an OpenAPI 3 document, by ``METHOD /path``."""
    schemas = document.get("components", {}).get("schemas", {})
    return {
        f"{method.upper()} {path}": Described(
            fingerprint=_fingerprint(item.get("parameters", ()), operation, schemas),
            ids=tuple(dict.fromkeys(sorted(_ids(method, operation, schemas)))),
        )
        for path, item in document.get("paths", {}).items()
        for method, operation in item.items()
        if method in _METHODS
    }


def _fingerprint(shared: Any, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    answers = operation.get("responses", {})
    essence = {
        "parameters": sorted(
            (_bare(one) for one in (*shared, *operation.get("parameters", ()))), key=_canonical
        ),
        "body": _bare(operation.get("requestBody", {})),
        "answers": {status: _bare(answers[status]) for status in answers if status[0] == "2"},
    }
    referred: dict[str, Any] = {}
    _collect(essence, schemas, referred)
    return sha256(_canonical([essence, referred]).encode()).hexdigest()[:_DIGITS]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _bare(value: Any, *, names: bool = False) -> Any:
    """Return a part of a document without its words; below ``properties`` keys are names."""
    if isinstance(value, list):
        return [_bare(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _bare(item, names=key == "properties" and not names)
        for key, item in value.items()
        if names or key not in _WORDS
    }


def _collect(value: Any, schemas: Mapping[str, Any], found: dict[str, Any]) -> None:
    if isinstance(value, (list, tuple)):
        for item in value:
            _collect(item, schemas, found)
    elif isinstance(value, dict):
        name = _referred(value)
        if name and name not in found:
            found[name] = _bare(schemas.get(name))
            _collect(found[name], schemas, found)
        for item in value.values():
            _collect(item, schemas, found)


def _referred(schema: Mapping[str, Any]) -> str:
    reference = schema.get("$ref")
    return reference.rpartition("/")[2] if isinstance(reference, str) else ""


def _ids(method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    for parameter in operation.get("parameters", ()):
        name = parameter.get("name", "")
        if parameter.get("in") == "query" and (
            name in _CURSORS or _is_id(name, parameter.get("schema", {}))
        ):
            yield f"?{name}"
    content = operation.get("requestBody", {}).get("content", {}) if method != "get" else {}
    for form in content.values():
        for pointer, schema in _fields(form.get("schema", {}), "", schemas, frozenset()):
            if _is_id(pointer.rpartition("/")[2], schema):
                is_list = "array" in _canonical(schema)
                yield f"{pointer}/*" if is_list else pointer


def _is_id(name: str, schema: Mapping[str, Any]) -> bool:
    return bool(_ID_NAME(name)) or _UUID_PATTERN in str(schema.get("pattern", ""))


def _fields(
    schema: Mapping[str, Any], pointer: str, schemas: Mapping[str, Any], within: frozenset[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    name = _referred(schema)
    if name in within:
        return
    if name:
        schema, within = schemas.get(name, {}), within | {name}
    for choice in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(choice, ()):
            yield from _fields(one, pointer, schemas, within)
    if isinstance(schema.get("items"), dict):
        yield from _fields(schema["items"], f"{pointer}/*", schemas, within)
    for field, below in schema.get("properties", {}).items():
        yield f"{pointer}/{field}", below
        yield from _fields(below, f"{pointer}/{field}", schemas, within)
