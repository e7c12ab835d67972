"""How far this process is on its way to its end. A process stops once, so this goes one way."""

from __future__ import annotations

from enum import IntEnum


class Phase(IntEnum):
    """In this order."""

    SERVING = 0
    NOTICE = 1
    DRAINING = 2


_phase = Phase.SERVING


def begin() -> None:
    """Readiness is red from now on, and everything is served for a little while longer."""
    _go_on_to(Phase.NOTICE)


def refuse() -> None:
    """Nothing new is served from now on."""
    _go_on_to(Phase.DRAINING)


def is_stopping() -> bool:
    """Say whether the process has been told to stop."""
    return _phase is not Phase.SERVING


def is_refusing() -> bool:
    """Say whether it takes nothing new any more."""
    return _phase is Phase.DRAINING


def _go_on_to(phase: Phase) -> None:
    global _phase  # noqa: PLW0603 - the process's
    _phase = max(_phase, phase)
