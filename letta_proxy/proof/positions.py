"""Where ids can stand in an operation, and which of those places nobody has thought of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core.proxy.operations import BodyKind
from letta_proxy.catalogue.operation import CURSORS, NO_OWNER, QUERY_OWNER_RULES, Within
from letta_proxy.models import Kind
from letta_proxy.policy.content import Content
from letta_proxy.policy.rules import Dropped, Each, Fields, Id, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from letta_proxy.catalogue.operation import LettaOperation
    from letta_proxy.policy.rules import Rule

_PARAMETERS: Final = re.compile(r"\{(\w+)\}").findall
_LOOKS_LIKE_ID: Final = re.compile(r"(^|_)ids?$").search
_LABELS: Final = frozenset({"block_label", "tool_name"})
# What a list is of, by the last word of its path; a cursor is the id of such a thing.
_LISTED: Final = {
    "active": "run_id",
    "agents": "agent_id",
    "archival-memory": "memory_id",
    "archives": "archive_id",
    "blocks": "block_id",
    "conversations": "conversation_id",
    "files": "file_id",
    "folders": "folder_id",
    "groups": "agent_id",
    "messages": "message_id",
    "passages": "passage_id",
    "runs": "run_id",
    "sources": "folder_id",
    "steps": "step_id",
    "tools": "tool_id",
}


class Place(StrEnum):
    """A part of a request."""

    PATH = "path"
    QUERY = "query"
    CURSOR = "cursor"
    BODY = "body"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One place where an id can stand.

    Attributes:
        name: of the parameter, or the pointer to the field.
        thing: what stands there, by the name that it has in a path.
        must_be_own: a foreign thing is not there. Otherwise it only must be as good as missing.
        alias: what stands in the path in place of a conversation's id, when that is how an agent
            can be named.
    """

    place: Place
    name: str
    thing: str
    must_be_own: bool = True
    alias: str = ""

    def __str__(self) -> str:
        alias = f" ({self.alias} in the path)" if self.alias else ""
        return f"{self.place} {self.name}{alias}"


def thing_of(kind: Kind) -> str:
    """Return the name that a thing of a kind has in paths."""
    return f"{kind.value}_id"


def positions(operation: LettaOperation) -> list[Position]:
    """Return every place of an operation where an id can stand."""
    return [*_in_path(operation), *_in_query(operation), *_in_body(operation)]


def gaps(operation: LettaOperation) -> list[str]:
    """Return what is missing in the declaration of an operation: places without an owner rule."""
    documented = documented_ids().get(f"{operation.method} {operation.upstream_path}", ())
    return [
        *(
            f"path parameter {name} has no owner rule"
            for name in _PARAMETERS(operation.path)
            if name not in operation.owners
        ),
        *(
            f"query parameter {name} has no owner rule"
            for name in sorted(operation.query)
            if (_LOOKS_LIKE_ID(name) or f"?{name}" in documented)
            and name not in QUERY_OWNER_RULES
            and name not in CURSORS
        ),
        *(
            f"nothing is known to stand in the cursor {name}"
            for name in sorted(operation.query & CURSORS)
            if _last_word(operation) not in _LISTED
        ),
        *(f"body field {pointer} has no owner rule" for pointer in _open_fields(operation)),
    ]


@cache
def documented_ids() -> Mapping[str, tuple[str, ...]]:
    """Return where Letta's own documentation has ids, by operation."""
    raw = resources.files("letta_proxy.catalogue").joinpath("documented.json").read_bytes()
    return {name: tuple(ids) for name, (_, ids) in orjson.loads(raw)["operations"].items()}


def leaves(rule: Rule | None, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Yield pointer and rule of everything in a body that is not a list or object itself."""
    if isinstance(rule, Fields):
        for name, below in rule.fields.items():
            yield from leaves(below, f"{pointer}/{name}")
    elif isinstance(rule, Each):
        yield from leaves(rule.rule, f"{pointer}/*")
    elif rule is not None:
        yield pointer, rule


def _in_path(operation: LettaOperation) -> Iterator[Position]:
    for name, rule in operation.owners.items():
        if name not in _LABELS:
            yield Position(
                place=Place.PATH, name=name, thing=name, must_be_own=rule is not Within.THING
            )
        if rule is Kind.CONVERSATION:
            yield Position(place=Place.PATH, name=name, thing="agent_id")


def _in_query(operation: LettaOperation) -> Iterator[Position]:
    for name in sorted(operation.query):
        if name in QUERY_OWNER_RULES:
            thing = thing_of(QUERY_OWNER_RULES[name])
            yield Position(place=Place.QUERY, name=name, thing=thing)
            if _may_be_default(operation, name):
                yield Position(place=Place.QUERY, name=name, thing=thing, alias="default")
        elif name in CURSORS and _last_word(operation) in _LISTED:
            thing = _LISTED[_last_word(operation)]
            yield Position(place=Place.CURSOR, name=name, thing=thing, must_be_own=False)


def _in_body(operation: LettaOperation) -> Iterator[Position]:
    for pointer, rule in leaves(operation.fields):
        if isinstance(rule, Id):
            thing = thing_of(rule.kind)
            yield Position(place=Place.BODY, name=pointer, thing=thing)
            if _may_be_default(operation, pointer.strip("/")):
                yield Position(place=Place.BODY, name=pointer, thing=thing, alias="default")


def _may_be_default(operation: LettaOperation, name: str) -> bool:
    return "conversation_id" in operation.owners and name in {"agent_id", "run_id"}


def _open_fields(operation: LettaOperation) -> Iterator[str]:
    """Yield the fields that hold ids and whose rule does not look at them."""
    if operation.body is not BodyKind.JSON:
        return
    named = {
        pointer
        for pointer, _ in leaves(operation.fields)
        if _LOOKS_LIKE_ID(pointer.removesuffix("/*"))
    }
    documented = documented_ids().get(f"{operation.method} {operation.upstream_path}", ())
    for pointer in sorted(named | {one for one in documented if one.startswith("/")}):
        if not _is_ruled(operation.fields, pointer):
            yield pointer


def _is_ruled(rule: Any, pointer: str) -> bool:
    steps = pointer.split("/")[1:]
    name = next(step for step in reversed(steps) if step != "*")
    for step in steps:
        if isinstance(rule, Fields):
            rule = rule.fields.get(step)
        elif isinstance(rule, Each) and step == "*":
            rule = rule.rule
        else:
            break
    if isinstance(rule, Content):
        return name in NO_OWNER or name == "file_id"  # which it refuses
    # Fields that are not named are refused.
    return rule is None or isinstance(rule, (Id, Refused, Dropped)) or name in NO_OWNER


def _last_word(operation: LettaOperation) -> str:
    return operation.path.rpartition("/")[2]
