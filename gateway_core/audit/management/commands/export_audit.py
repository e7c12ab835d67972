"""Write the audit trail, or some of it, into a file that proves itself."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from gateway_core.audit import stored
from gateway_core.audit.events import Plane
from gateway_core.audit.exports import writing
from gateway_core.audit.months import first_id
from gateway_core.audit.sealing import seal_changes
from gateway_core.errors import Code
from gateway_core.moments import moment
from gateway_core.progress import Progress

if TYPE_CHECKING:
    from argparse import ArgumentParser

_CONDITIONS: Final = {
    "since": "id >= %s",
    "until": "id < %s",
    "user": "(user_id = %s OR user_email = %s)",
    "action": "action = %s",
    "code": "code = %s",
    "route": "route = %s",
    "plane": "plane = %s",
}


class Command(BaseCommand):
    """Exports events with what verify_audit needs to verify them without the database."""

    help = (
        "Write audit events to a file, with all that `verify_audit --export` needs. Without a "
        "filter it has the whole chain, and proves that nothing is missing; with one it proves of "
        "each event that it belongs to the chain."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--output", type=Path, required=True, metavar="FILE")
        parser.add_argument("--format", choices=writing.FORMATS, help="as the file's name ends")
        parser.add_argument("--since", type=moment, metavar="TIME", help="2026-11-23 or with time")
        parser.add_argument("--until", type=moment, metavar="TIME", help="before this")
        parser.add_argument("--user", help="id or e-mail address")
        parser.add_argument("--action", help="operation of a request, or the change made")
        parser.add_argument("--code", choices=[code.value for code in Code], metavar="CODE")
        parser.add_argument("--route")
        parser.add_argument("--plane", choices=[plane.value for plane in Plane])

    def handle(self, **options: Any) -> None:
        """Export.

        Raises:
            CommandError: the file can't be written, or an option can't be looked for.
        """
        output: Path = options["output"]
        filters = {name: options[name] for name in _CONDITIONS if options[name] is not None}
        for name, value in filters.items():
            if not _is_text(str(value)):
                raise CommandError(f"--{name} is no text in UTF-8: {value!a}.")
        kind = options["format"] or ("csv" if output.suffix == ".csv" else "jsonl")
        seal_changes()
        try:
            with (
                writing.replacing(output) as file,
                stored.snapshot(),
                Progress() as progress,
            ):
                total = stored.count_events()
                events, about = writing.export(
                    file,
                    kind=kind,
                    wanted=_filter(filters) if filters else None,
                    filters={name: str(value) for name, value in filters.items()},
                    show=lambda events: progress.show("events", events, max(events, total)),
                )
        except OSError as exc:
            raise CommandError(f"{output} can't be written: {exc.strerror}") from exc
        what = "of the whole chain" if about.is_complete else "that the filters want"
        self.stdout.write(f"{events} events {what}; head {about.head or 'none'}")


def _is_text(value: str) -> bool:
    """Say whether PostgreSQL can have it; what a shell gives that is no UTF-8 has half pairs."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def _filter(filters: dict[str, Any]) -> stored.Filter:
    parameters: list[Any] = []
    for name, value in filters.items():
        if name == "user":
            parameters += _user(value)
        else:
            parameters.append(first_id(value) if isinstance(value, datetime) else value)
    conditions = " AND ".join(_CONDITIONS[name] for name in filters)
    return stored.Filter(f"({conditions})", tuple(parameters))


def _user(text: str) -> tuple[UUID | None, str]:
    try:
        return UUID(text), text
    except ValueError:
        return None, text
