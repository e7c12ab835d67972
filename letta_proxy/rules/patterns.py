"""Path patterns: segments of Letta's path, of which ``*`` is any one and ``**`` any number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway_core.errors import RequestMalformed
from gateway_core.proxy.operations import split_path

if TYPE_CHECKING:
    from collections.abc import Sequence

ONE: Final = "*"
ANY_NUMBER: Final = "**"

# How a path of Letta's looks in a client, in a log line and in Letta's own documentation.
_PREFIX: Final = re.compile(r"^(/api/v1/letta)?(/v1)?(?=/|$)")
_PARAMETER: Final = re.compile(r"\{(\w+)\}").fullmatch


@dataclass(frozen=True, slots=True)
class Pattern:
    """What stands before ``**`` and what after it; ``tail`` is None without ``**``."""

    head: tuple[str, ...]
    tail: tuple[str, ...] | None

    def align(self, template: Sequence[str]) -> dict[str, str] | None:
        """Lay the pattern over an operation's path.

        Args:
            template: its segments, in which ``{name}`` is a parameter.

        Returns:
            The values that parameters must have for a request to match, None when none can.
        """
        tail = self.tail or ()
        spare = len(template) - len(self.head) - len(tail)
        if spare < 0 or (self.tail is None and spare):
            return None
        where: dict[str, str] = {}
        covered = (*template[: len(self.head)], *template[len(template) - len(tail) :])
        for wanted, segment in zip((*self.head, *tail), covered, strict=True):
            if wanted == ONE:
                continue
            if parameter := _PARAMETER(segment):
                where[parameter[1]] = wanted
            elif wanted != segment:
                return None
        return where


def letta_path(path: str) -> str:
    """Return a path below Letta's ``/v1``, given with the gateway's prefix, Letta's or none."""
    return _PREFIX.sub("", path, count=1) or "/"


def normalised(text: str) -> str:
    """Return the one form of a pattern: Letta's path, stars for parameters, no slash at the end."""
    segments = letta_path(text.strip()).rstrip("/").split("/")
    return "/".join(ONE if _PARAMETER(segment) else segment for segment in segments) or "/"


def parse(text: str) -> Pattern:
    """Return the pattern of a text without complaint.

    Raises:
        RequestMalformed: ``split_path`` would refuse every request with such a path.
    """
    segments = split_path(text.encode())
    if ANY_NUMBER not in segments:
        return Pattern(segments, None)
    place = segments.index(ANY_NUMBER)
    return Pattern(segments[:place], segments[place + 1 :])


def syntax_complaint(text: str) -> str:
    """Return what is wrong with a text as a pattern, empty when nothing is."""
    if not text.startswith("/"):
        return "Begin with a slash: /agents/*/messages."
    try:
        segments = split_path(text.encode())
    except RequestMalformed as error:
        return f"No request has such a path. {error.detail}"
    if any(ONE in segment and segment not in {ONE, ANY_NUMBER} for segment in segments):
        return "A star stands for whole segments: write * or ** between two slashes."
    if segments.count(ANY_NUMBER) > 1:
        return "Write ** once at the most."
    return ""
