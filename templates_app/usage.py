"""Who uses templates: the apps above say so, each of what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

_checks: list[Callable[[UUID], bool]] = []


def register_use(check: Callable[[UUID], bool]) -> None:
    """Have a check asked, from ``AppConfig.ready``, before a template is deleted.

    Args:
        check: says whether anything was made from a version of the template of this id. It runs in
            the transaction that deletes, with the template locked.
    """
    _checks.append(check)


def in_use(template_id: UUID) -> bool:
    """Say whether anything was made from a template."""
    return any(check(template_id) for check in _checks)
