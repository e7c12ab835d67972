"""What is wrong with a file or with values, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# Nobody mends more at once, and a file of nothing but faults must not make an answer larger than
# itself.
MOST_SHOWN: Final = 100


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault.

    Attributes:
        pointer: JSON pointer (RFC 6901) to the value, empty for the whole.
        message: what is wrong with it, to be read after the pointer. Never repeats the value.
    """

    pointer: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """Return the item of ``errors`` in answers."""
        return {"pointer": self.pointer, "message": self.message}


class FaultsFound(Exception):
    """Raised with everything that is wrong."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = in_order(faults)
        super().__init__(f"{len(self.faults)} faults")


def in_order(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Return faults by place, each once, and no more than anybody reads."""
    return tuple(sorted(set(faults))[:MOST_SHOWN])


def pointer_to(steps: Iterable[str | int]) -> str:
    """Return the JSON pointer of a way through a document."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)
