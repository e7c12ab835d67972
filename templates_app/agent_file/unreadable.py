"""Why a file can't be read."""

from __future__ import annotations

from typing import Final

_SHOWN_CHARACTERS: Final = 80


class Unreadable(Exception):
    """Not a file whose values can be looked at.

    Attributes:
        message: sentences for whoever wrote it.
        pointer: JSON pointer to the culprit, where the file could be read as far as that.
    """

    def __init__(
        self, message: str, *, line: int | None = None, column: int | None = None, pointer: str = ""
    ) -> None:
        place = f"Line {line}, column {column}: " if line is not None else ""
        self.message = place + message
        self.pointer = pointer
        super().__init__(self.message)


class TooLarge(Unreadable):
    """More bytes than the limit."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The file is larger than {max_bytes} bytes.")


def duplicate(name: str, *, line: int | None = None, column: int | None = None) -> Unreadable:
    """Return the error for a name that one object has twice."""
    text = f"The name {shown(name)} is there twice in one object."
    return Unreadable(text, line=line, column=column)


def shown(name: str) -> str:
    """Return a word of the file's as an error repeats it: quoted, printable and short."""
    return ascii(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}…")
