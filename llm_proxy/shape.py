"""How deep and how wide a request body may be.

A body is walked on the event loop, and orjson can't write what is nested deeper than 254 levels,
so both are held to what no honest request comes near.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_core.errors import FieldInvalid

MAX_DEPTH: Final = 64  # objects and lists within one another, the body itself being the first
MAX_VALUES: Final = 100_000  # members and elements, without those of lists of numbers alone

_BAD_REQUEST: Final = 400
_CONTAINERS: Final = frozenset({dict, list})
_NOT_NUMBERS: Final = frozenset({dict, list, str})


def check_shape(body: dict[str, Any]) -> None:
    """Refuse a body that is too deep or holds too many values.

    Lists of numbers count as nothing, however long: texts to embed may be sent as tokens.

    Raises:
        FieldInvalid: 400.
    """
    level: list[Any] = [body]
    counted = 0
    for _ in range(MAX_DEPTH):
        further: list[Any] = []
        for node in level:
            values = node.values() if type(node) is dict else node
            if _NOT_NUMBERS.isdisjoint(map(type, values)):
                continue
            counted += len(node)
            if counted > MAX_VALUES:
                raise _refused(f"holds more than {MAX_VALUES} values. Send less at a time.")
            further += [value for value in values if type(value) in _CONTAINERS]
        if not further:
            return
        level = further
    raise _refused(f"is nested deeper than {MAX_DEPTH} levels. Send it flatter.")


def _refused(fault: str) -> FieldInvalid:
    return FieldInvalid(f"The body {fault}", status=_BAD_REQUEST)
