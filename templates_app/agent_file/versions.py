"""Semantic Versioning 2.0.0: parsed, and as columns that a database sorts by precedence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MOST_CHARACTERS: Final = 64
# Nine digits fit a 32-bit column.
_NUMBER: Final = r"(0|[1-9][0-9]{0,8})"
_WORDS: Final = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_FORM: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_WORDS}))?(?:\+({_WORDS}))?", re.ASCII
).fullmatch
# After every key that begins with a digit, as those of pre-releases do.
RELEASE_KEY: Final = "~"
COMPLAINT: Final = "must be a semantic version like 1.4.0 or 2.0.0-beta.1"


@dataclass(frozen=True, slots=True)
class SemVer:
    """A version.

    Attributes:
        text: as it was written, build metadata included.
        prerelease_key: sorts pre-releases by precedence (SemVer 2.0.0 §11) when compared byte by
            byte, and a release after all of them.
    """

    text: str
    major: int
    minor: int
    patch: int
    prerelease_key: str

    @property
    def is_prerelease(self) -> bool:
        """Whether it comes before a release."""
        return self.prerelease_key != RELEASE_KEY

    @property
    def precedence(self) -> tuple[int, int, int, str]:
        """What versions are compared by; build metadata is no part of it."""
        return self.major, self.minor, self.patch, self.prerelease_key


def parse(text: str) -> SemVer:
    """Return the version.

    Raises:
        ValueError: it is not one, or a number in it has more than nine digits.
    """
    match = _FORM(text) if len(text) <= MOST_CHARACTERS else None
    if match is None:
        raise ValueError(COMPLAINT)
    major, minor, patch, prerelease, _build = match.groups()
    return SemVer(text, int(major), int(minor), int(patch), _key(prerelease))


def _key(prerelease: str | None) -> str:
    if not prerelease:
        return RELEASE_KEY
    return "".join(_word_key(word) for word in prerelease.split("."))


def _word_key(word: str) -> str:
    """Numbers by size and before other words; ``!`` sorts before every character of a word."""
    if not word.isdecimal():
        return f"1{word}!"
    if word.startswith("0") and word != "0":
        raise ValueError(COMPLAINT)
    return f"0{len(word):02}{word}!"
