"""What other apps make of events when these are stored: rows of their own, once for each event."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_projections: list[Callable[[str], None]] = []


def register(project: Callable[[str], None]) -> None:
    """Have events seen by ``project`` in the transaction that stores them.

    It gets a JSON array of objects with the fields of ``AuditEvent``. An event may come again,
    after a crash between storing and forgetting it: what is made of it must have its id, and be
    left as it is when it is there. A DataError or IntegrityError says that an event is none.
    """
    if project not in _projections:
        _projections.append(project)


def project_all(document: str) -> None:
    """Show events to everybody who has registered."""
    for project in _projections:
        project(document)
