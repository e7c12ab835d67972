"""An Agent File for one agent: its variables put in, once, and looked at again.

What stands in a value is text, whatever it looks like.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from templates_app.agent_file.bounds import refuse_unwieldy
from templates_app.agent_file.faults import Fault, FaultsFound, in_order
from templates_app.agent_file.unreadable import Unreadable
from templates_app.agent_file.validation import document_faults
from templates_app.agent_file.variables import PLACEHOLDER, SECTIONS, value_faults, with_defaults

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

# Of all texts together: one value may be used ten thousand times.
MOST_CHARACTERS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What an agent is made from.

    Attributes:
        document: the Agent File with its variables put in.
        values: the variables and their defaults, secret ones in clear.
    """

    document: dict[str, Any] = field(repr=False)
    values: dict[str, Any] = field(repr=False)


def fill(document: dict[str, Any], values: Mapping[str, Any], *, at: str = "") -> Filled:
    """Put values into every place of a valid file that uses them.

    Texts go in as they are, other values as JSON.

    Args:
        at: JSON pointer to the values, for the faults' pointers.

    Raises:
        FaultsFound: a value is missing, unknown or does not fit, or the file does not with it.
    """
    _refuse(_unkept(values, at))
    given = with_defaults(document, values)
    _refuse(value_faults(document, given, at=at))
    filling = _Filling({name: _as_text(value) for name, value in given.items()}, at)
    filled = {name: filling.fill(document[name]) for name in SECTIONS if name in document}
    persona = document["persona"]
    filled["persona"] = {**persona, "system_prompt": filling.fill(persona["system_prompt"])}
    if "migrations" in document:
        filled["migrations"] = [filling.fill_patches(way) for way in document["migrations"]]
    filled = {**document, **filled}
    _refuse(
        Fault(at, f"make {fault.pointer} wrong, which {fault.message}")
        for fault in document_faults(filled)
    )
    return Filled(document=filled, values=given)


class _Filling:
    """Puts values in for as long as the file stays within its limit."""

    def __init__(self, texts: Mapping[str, str], at: str) -> None:
        self._texts = texts
        self._at = at
        self._left = MOST_CHARACTERS

    def fill(self, value: Any) -> Any:
        """Return the value with every text in it filled."""
        if isinstance(value, str):
            self._spend(value)
            return PLACEHOLDER.sub(self._text, value)
        if isinstance(value, dict):
            return {name: self.fill(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return value

    def fill_patches(self, way: Mapping[str, Any]) -> dict[str, Any]:
        """Return a migration with the values of its patches filled; pointers have no variables."""
        steps = [
            {**step, "patch": [self._fill_value(operation) for operation in step["patch"]]}
            for step in way["steps"]
        ]
        return {**way, "steps": steps}

    def _fill_value(self, operation: Mapping[str, Any]) -> dict[str, Any]:
        filled = {"value": self.fill(operation["value"])} if "value" in operation else {}
        return {**operation, **filled}

    def _text(self, match: re.Match[str]) -> str:
        text = self._texts[match[1]]
        self._spend(text)
        return text

    def _spend(self, text: str) -> None:
        self._left -= len(text)
        if self._left < 0:
            too_long = f"make the agent's texts longer than {MOST_CHARACTERS} characters"
            raise FaultsFound([Fault(self._at, too_long)])


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _unkept(values: Mapping[str, Any], at: str) -> list[Fault]:
    try:
        refuse_unwieldy(dict(values))
    except Unreadable as exc:
        return [Fault(at + exc.pointer, exc.message)]
    return []


def _refuse(faults: Any) -> None:
    found = in_order(faults)
    if found:
        raise FaultsFound(found)
