"""What somebody may have meant who wrote a name that is not known."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

# Of strangers' names; comparing takes time by the square.
_LONGEST: Final = 64


def meant(name: str, known: Collection[str]) -> str:
    """Return a question that names what is known, with a space before it; empty without a guess.

    Close is what is spelled alike, and what has all words of the other: ``name``, ``agent_name``.
    """
    if len(name) > _LONGEST:
        return ""
    words = set(name.lower().split("_"))
    alike = [one for one in known if words <= (its := set(one.split("_"))) or its <= words]
    close = alike or get_close_matches(name.lower(), known, n=1)
    return f" Did you mean {close[0]}?" if close else ""
