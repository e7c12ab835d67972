"""What something takes in memory."""

from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS: Final = 5


def most_bytes(work: Callable[[], object]) -> int:
    """Return how many bytes ``work()`` has at its highest, without its result.

    The least of some rounds: what servers in threads of this process take meanwhile counts, too.
    """
    return min(_most_bytes(work) for _ in range(_ROUNDS))


def _most_bytes(work: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
