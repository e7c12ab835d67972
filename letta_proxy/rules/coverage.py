"""Which of the offered operations a rule is about, found out when rules are saved and loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gateway_core.errors import GatewayError, RequestMalformed
from letta_proxy.catalogue import CATALOGUE
from letta_proxy.catalogue.operation import Within
from letta_proxy.rules.patterns import normalised, parse, syntax_complaint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from letta_proxy.catalogue.operation import LettaOperation

# agent-6f1c…, conv-…, source-…: a word, a hyphen, and something with a digit in it.
_ID: Final = re.compile(r"(?=.*\d)[a-z_]+-[\w-]+").fullmatch
_DEFAULT: Final = "default"
_TEMPLATES: Final = [
    (operation, tuple(operation.path.strip("/").split("/"))) for operation in CATALOGUE.operations
]
_PARAMETERS: Final = re.compile(r"\{(\w+)\}").findall


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """An operation that a rule is about.

    Attributes:
        where: values that parameters of the path must have; empty when any will do.
    """

    operation: LettaOperation
    where: Mapping[str, str]

    def __str__(self) -> str:
        limits = ", ".join(f"{name} is {value}" for name, value in self.where.items())
        shown = f"{self.operation.method} {self.operation.path}"
        return f"{shown}, where {limits}" if limits else shown


@lru_cache(maxsize=4096)
def covered(method: str, pattern: str) -> tuple[Covered, ...]:
    """Return the offered operations that a rule of this method (empty: any) and pattern matches."""
    return tuple(
        one
        for one in _covered(pattern)
        if one.operation.is_offered and method in ("", one.operation.method)
    )


def complaint(method: str, pattern: str) -> str:
    """Return why no request could ever match, empty when some can."""
    problem = syntax_complaint(pattern)
    if problem or covered(method, pattern):
        return problem
    everything = list(_covered(pattern))
    if methods := sorted({one.operation.method for one in everything if one.operation.is_offered}):
        return f"Such paths are offered with {', '.join(methods)} only."
    if everything:
        return "Nothing to take away: all that matches is in the catalogue as not offered."
    return f"Nothing that is offered has such a path. {_suggestion(pattern)}"


def _covered(pattern: str) -> Iterator[Covered]:
    try:
        wanted = parse(pattern)
    except RequestMalformed:
        return
    for operation, template in _TEMPLATES:
        where = wanted.align(template)
        if where is not None and _is_possible(operation, where):
            yield Covered(operation=operation, where=where)


def _is_possible(operation: LettaOperation, where: Mapping[str, str]) -> bool:
    """Say whether a request with these parameters comes to this operation and may name a thing."""
    if not where:
        return True
    owners = operation.owners
    if not all(_may_be(value, owners.get(name)) for name, value in where.items()):
        return False
    filled = {name: where.get(name, "x") for name in _PARAMETERS(operation.path)}
    segments = tuple(operation.path.format_map(filled).strip("/").split("/"))
    try:
        return CATALOGUE.match(operation.method, segments)[0] is operation
    except GatewayError:
        return False


def _may_be(value: str, owner_rule: object) -> bool:
    """A label may be any word; an id has a form, by which a forgotten star is told from it."""
    return owner_rule is Within.THING or value == _DEFAULT or _ID(value) is not None


def _suggestion(pattern: str) -> str:
    offered = {normalised(one.path) for one in CATALOGUE.operations if one.is_offered}
    close = _closest(pattern, offered)
    return f"Close to it: {', '.join(close)}." if close else "What is offered is listed at /docs."


def _closest(pattern: str, paths: Iterable[str]) -> list[str]:
    return get_close_matches(pattern, sorted(paths), n=3, cutoff=0.6)
