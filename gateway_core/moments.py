"""Dates and times as operators write them on a command line."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime


def moment(text: str) -> datetime:
    """Read a date or a time; without a zone it is UTC.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ArgumentTypeError(
            f"{text!r} is no date or time, like 2026-11-23 or 2026-11-23T08:00+03:00"
        ) from exc
    return at if at.tzinfo else at.replace(tzinfo=UTC)
