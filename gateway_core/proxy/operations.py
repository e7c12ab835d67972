"""Operations: the closed list of what a route forwards, and how a path is matched to one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Generic, TypeVar
from urllib.parse import quote, unquote_to_bytes

from gateway_core.errors import GatewayError, RequestMalformed
from gateway_core.rates import RateClass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class BodyKind(StrEnum):
    """How a request body is taken in."""

    NONE = "none"
    JSON = "json"  # read, bounded, parsed, policed, written again
    FORM = "form"  # multipart, filtered and streamed


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that an upstream offers and the gateway knows.

    Attributes:
        name: unique within the route; a metric label.
        method: upper case.
        path: template below the route's prefix, like ``/agents/{agent_id}/messages``, with no
            slash at the end.
        upstream_path: the same for the upstream, where it differs.
        body: how the request body is taken in.
        max_bytes: bytes of a request body at the most.
        must_finish: go on with the upstream call when the client leaves, because it creates
            something whose owner has to be recorded.
        streams: whether the answer may be an event stream.
        counts_as: which of the caller's limits it is counted towards.
    """

    name: str
    method: str
    path: str
    upstream_path: str = ""
    body: BodyKind = BodyKind.NONE
    max_bytes: int = 1024 * 1024
    must_finish: bool = False
    streams: bool = False
    counts_as: RateClass = RateClass.GENERAL
    summary: str = ""

    def target(self, params: Mapping[str, str]) -> str:
        """Return the encoded path for the upstream. It is built anew: no caller's path passes."""
        template = self.upstream_path or self.path
        if not params:
            return template
        return template.format_map({name: quote(value, safe="") for name, value in params.items()})


OperationT = TypeVar("OperationT", bound=Operation)

_PARAMETER: Final = re.compile(r"\{(\w+)\}").fullmatch
_PLAIN_SEGMENT: Final = re.compile(rb"[A-Za-z0-9._~:@!$&'()*+,=-]+").fullmatch
# What no decoded segment may hold: it means different things to different parsers.
_AMBIGUOUS: Final = re.compile(r"[\x00-\x1f\x7f/\\%;?#]")
_AMBIGUOUS_BUT_SLASH: Final = re.compile(r"[\x00-\x1f\x7f\\%;?#]")


def split_path(raw: bytes, *, names_have_slashes: bool = False) -> tuple[str, ...]:
    """Return the decoded segments of a raw (still encoded) path; one slash at the end is dropped.

    Args:
        names_have_slashes: an encoded slash is part of its segment, and no error.

    Raises:
        RequestMalformed: the path could be read in two ways: empty or dot segments, an encoded
            slash, backslash, percent, semicolon or control character, or not UTF-8.
    """
    parts = raw.strip(b"/").split(b"/") if raw not in (b"", b"/") else []
    if raw.startswith(b"//") or raw.endswith(b"//"):
        raise RequestMalformed("The path has an empty segment. Write single slashes.")
    ambiguous = _AMBIGUOUS_BUT_SLASH if names_have_slashes else _AMBIGUOUS
    return tuple(_decode_segment(part, ambiguous) for part in parts)


def _decode_segment(part: bytes, ambiguous: re.Pattern[str]) -> str:
    if _PLAIN_SEGMENT(part):
        segment = part.decode("ascii")
    else:
        try:
            segment = unquote_to_bytes(part).decode("utf-8")
        except UnicodeDecodeError as exc:
            raise RequestMalformed("The path is not UTF-8.") from exc
    if not segment.strip(".") or ambiguous.search(segment):
        raise RequestMalformed(
            "The path has an empty, dotted or ambiguously encoded segment. Ids and names in a "
            "path can't hold slashes, backslashes, percent signs, semicolons or control characters."
        )
    return segment


@dataclass(slots=True)
class _Node(Generic[OperationT]):
    literals: dict[str, _Node[OperationT]] = field(default_factory=dict)
    parameter: _Node[OperationT] | None = None
    # Method -> the operation and the names of its parameters, in the order of the path.
    operations: dict[str, tuple[OperationT, tuple[str, ...]]] = field(default_factory=dict)


class Catalogue(Generic[OperationT]):
    """All operations of a route, matched by method and path segments in one walk."""

    def __init__(
        self,
        operations: Iterable[OperationT],
        *,
        refuse: Callable[[str, str, frozenset[str]], GatewayError],
        names_have_slashes: bool = False,
    ) -> None:
        """Index the operations.

        Args:
            refuse: makes the error for what is not in the catalogue from method, path and the
                methods that the path does have.
            names_have_slashes: as ``split_path`` takes it. Only where no parameter goes into the
                upstream's path, whose other parsers may read an encoded slash as a plain one.

        Raises:
            ValueError: two operations share method and path, or a name; or a name with slashes
                would go into the upstream's path.
        """
        self.names_have_slashes = names_have_slashes
        self._root: _Node[OperationT] = _Node()
        self._refuse = refuse
        self.operations: tuple[OperationT, ...] = tuple(operations)
        for operation in self.operations:
            self._add(operation)
        if len({operation.name for operation in self.operations}) != len(self.operations):
            raise ValueError("two operations share a name")
        if names_have_slashes and any("{" in one.target({}) for one in self.operations):
            raise ValueError("a name with slashes would go into the upstream's path")

    def match(self, method: str, segments: tuple[str, ...]) -> tuple[OperationT, dict[str, str]]:
        """Return the operation and its path parameters.

        A literal segment wins over a parameter, as in the upstreams' own routers.

        Raises:
            GatewayError: what ``refuse`` returns, when there is no such operation.
        """
        node = self._root
        values: list[str] = []
        for segment in segments:
            literal = node.literals.get(segment)
            if literal is None:
                if node.parameter is None:
                    raise self._refuse(method, "/".join(("", *segments)), frozenset())
                values.append(segment)
                literal = node.parameter
            node = literal
        found = node.operations.get(method)
        if found is None:
            raise self._refuse(method, "/".join(("", *segments)), frozenset(node.operations))
        operation, names = found
        return operation, dict(zip(names, values, strict=True)) if names else {}

    def _add(self, operation: OperationT) -> None:
        node, names = self._root, []
        for segment in operation.path.strip("/").split("/"):
            parameter = _PARAMETER(segment)
            if parameter:
                names.append(parameter[1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        if operation.method in node.operations:
            raise ValueError(f"{operation.method} {operation.path} is declared twice")
        node.operations[operation.method] = (operation, tuple(names))
