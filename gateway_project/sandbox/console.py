"""What a run says on the terminal."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def say(text: str = "") -> None:
    """Print a line now."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def strong(text: str) -> str:
    """Return a text in bold, where the terminal can."""
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what begins, and how long it took when it is done."""
    sys.stdout.write(f"{text} … ")
    sys.stdout.flush()
    began = time.monotonic()
    done = False
    try:
        yield
        done = True
    finally:
        say(f"{time.monotonic() - began:.1f} s" if done else "failed")
