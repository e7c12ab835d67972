"""``migrations``: which of them lead on from a version, and what their patches may change.

A patch sees an agent as an Agent File with its blocks by their labels: an agent may have others
than its template, in another order. Only what an agent keeps for itself can be patched; its tools
and their environment come from the version.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from templates_app.agent_file import versions
from templates_app.agent_file.faults import Fault
from templates_app.agent_file.places import values
from templates_app.agent_file.schemas import faults
from templates_app.agent_file.shape import part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_OPERATIONS: Final = 1000
OPERATIONS: Final = "/migrations/*/steps/*/patch/*"
_BLOCK: Final = "/memory_layout/blocks/"
_LABEL: Final = re.compile(r"(?![\d-]+\Z)[A-Za-z0-9_-]{1,50}", re.ASCII).fullmatch
_CARRIES: Final = frozenset({"move", "copy"})
_UNKNOWN: Final = (
    "can't be patched: only /persona/system_prompt, the values in /engine, and blocks by their "
    f"labels, like {_BLOCK}human. All else comes from the version"
)
_WHOLE: Final = f"must be a whole block, like {_BLOCK}human"


def _block() -> dict[str, Any]:
    """Return the schema of a block whose label is in the pointer."""
    block = part("memory_layout", "blocks", "*")
    members = {name: one for name, one in block["properties"].items() if name != "label"}
    return {**block, "required": ["value"], "properties": members}


_WHOLE_BLOCK: Final = _block()
_PARTS: Final[Mapping[str, dict[str, Any]]] = {
    "/persona/system_prompt": part("persona", "system_prompt"),
    "/engine/model": part("engine", "model"),
    "/engine/embedding": part("engine", "embedding"),
    **{
        f"/engine/hyperparams/{name}": part("engine", "hyperparams", name)
        for name in part("engine", "hyperparams")["properties"]
    },
}


def ways_from(document: Mapping[str, Any], version: str) -> tuple[int, ...]:
    """Return the indexes of the ``migrations`` that an agent goes through, in order.

    Of several that begin at a version the one that leads furthest is taken. What lies behind the
    last of them, only the comparison of the versions tells.

    Args:
        document: a valid Agent File.
        version: what the agent is made from.
    """
    ways = document.get("migrations") or ()
    try:
        at = versions.parse(version).precedence
    except ValueError:  # made by a remote AMS, which may number its versions in its own way
        return ()
    taken: list[int] = []
    while starts := [
        (versions.parse(way["to"]).precedence, index)
        for index, way in enumerate(ways)
        if versions.parse(way["from"]).precedence == at
    ]:
        at, index = max(starts)
        taken.append(index)
    return tuple(taken)


def patch_faults(document: Any) -> Iterator[Fault]:
    """Yield what the patches of a file, whatever its shape, may not do."""
    operations = list(values(document, OPERATIONS, dict))
    if len(operations) > MOST_OPERATIONS:
        yield Fault("/migrations", f"must have at most {MOST_OPERATIONS} operations in all")
        return
    for where, operation in operations:
        path, op = operation.get("path"), operation.get("op")
        if not isinstance(path, str) or not isinstance(op, str):
            continue
        schema = _schema_at(path)
        if schema is None:
            yield Fault(f"{where}/path", _UNKNOWN)
        elif op in _CARRIES:
            yield from _carrying(operation, where)
        elif op == "remove" and schema is not _WHOLE_BLOCK:
            yield Fault(f"{where}/path", f"{_WHOLE}. Give others a value")
        elif op == "test" and schema is _WHOLE_BLOCK:
            yield Fault(f"{where}/path", f"must be a member of the block, like {path}/value")
        elif op != "remove" and "value" in operation:
            yield from faults(schema, operation["value"], at=f"{where}/value")


def _carrying(operation: Mapping[str, Any], where: str) -> Iterator[Fault]:
    for name in ("from", "path"):
        pointer = operation.get(name)
        if isinstance(pointer, str) and _schema_at(pointer) is not _WHOLE_BLOCK:
            yield Fault(f"{where}/{name}", _WHOLE)
    if operation.get("from") == operation["path"]:
        yield Fault(f"{where}/path", "must be another block than from")


def _schema_at(pointer: str) -> dict[str, Any] | None:
    """Return the schema of what may be patched, None where nothing may be."""
    if not pointer.startswith(_BLOCK):
        return _PARTS.get(pointer)
    label, _, member = pointer.removeprefix(_BLOCK).partition("/")
    if not _LABEL(label):
        return None
    if not member:
        return _WHOLE_BLOCK if pointer == f"{_BLOCK}{label}" else None
    return _MEMBERS.get(member)


_MEMBERS: Final[Mapping[str, dict[str, Any]]] = {
    name: {"$defs": _WHOLE_BLOCK["$defs"], **schema}
    for name, schema in _WHOLE_BLOCK["properties"].items()
}
