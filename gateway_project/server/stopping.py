"""Whether this process is on its way to its end. A process stops once, so this goes one way."""

from __future__ import annotations

import threading
from typing import Final

_told: Final = threading.Event()


def begin() -> None:
    """Readiness is red from now on, and each answer closes its connection."""
    _told.set()


def is_stopping() -> bool:
    """Say whether the process has been told to stop."""
    return _told.is_set()
