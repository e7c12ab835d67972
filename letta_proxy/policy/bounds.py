"""How large a body may be in other ways than bytes, looked at before anything else reads it."""

from __future__ import annotations

from typing import Any, Final

from letta_proxy.policy.rules import invalid

# JSON can't be written more than 254 levels deep here; no field of Letta's needs a tenth of that.
_DEEPEST: Final = 64
_MOST_VALUES: Final = 100_000
_LONGEST_NAME: Final = 256


def refuse_unwieldy(document: Any) -> None:
    """Stop at a body that would keep this process busy, or that could not be written again.

    Takes time by the number of values at most, whatever is in them.

    Raises:
        FieldInvalid: it is too deep, has too many values, a name that is too long, or a NUL: Letta
            keeps one in JSON (measured), which no row of ours could.
    """
    level = _containers([document])
    values = 0
    for _ in range(_DEEPEST):
        values += sum(map(len, level))
        if values > _MOST_VALUES:
            raise invalid("", f"must have at most {_MOST_VALUES} values")
        level = [item for holder in level for item in _containers(_items(holder))]
        if not level:
            return
    raise invalid("", f"is nested too deeply, more than {_DEEPEST} levels")


def _items(holder: Any) -> Any:
    _refuse_nul(holder)  # in an object these are the names
    if isinstance(holder, list):
        return holder
    for name in holder:
        if len(name) > _LONGEST_NAME:
            raise invalid(f"/{name}", f"has a name of more than {_LONGEST_NAME} characters")
    _refuse_nul(holder.values())
    return holder.values()


def _refuse_nul(items: Any) -> None:
    if any(isinstance(item, str) and "\0" in item for item in items):
        raise invalid("", "may not have a NUL character")


def _containers(items: Any) -> list[Any]:
    return [item for item in items if isinstance(item, (dict, list))]
