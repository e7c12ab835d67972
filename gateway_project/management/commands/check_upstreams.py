from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from gateway_project.sentinel.known import DOCUMENTED_SERVICES, keep
from gateway_project.sentinel.models import UpstreamOperation
from gateway_project.sentinel.watch import (
    DocumentUnavailable,
    live_document,
    look,
    service_of,
    store,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from gateway_project.sentinel.known import DocumentedService

_KNOWN = UpstreamOperation.State.KNOWN


class Command(BaseCommand):
    """Says what upstreams offer that the catalogues don't know, and the other way round."""

    help = (
        "Compare what Letta and LiteLLM document now with what the catalogues were made from. "
        "What is new is unclassified, and therefore denied. The admin shows what was found."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--file",
            metavar="OPENAPI.json",
            type=Path,
            nargs="+",
            default=[],
            help="documents to look at in place of what the upstreams serve",
        )
        parser.add_argument("--dry-run", action="store_true", help="store nothing")
        parser.add_argument(
            "--accept",
            action="store_true",
            help="take what was found as known: for developers who have classified it",
        )

    def handle(self, **options: Any) -> None:
        """Compare.

        Raises:
            CommandError: something differs, or can't be read.
        """
        total: Counter[str] = Counter()
        for service, document in self._documents(options["file"]):
            if options["accept"]:
                count = keep(service, document)
                self.stdout.write(f"{service.name}: {count} operations are known now")
            states = look(service, document)
            if not options["dry_run"]:
                store(service, states)
            for name, state in sorted(states.items(), key=lambda pair: (pair[1], pair[0])):
                if state is not _KNOWN:
                    self.stdout.write(f"{service.name:<10}{state.value:<10}{name}")
            total.update(state.value for state in states.values())
        self.stdout.write(", ".join(f"{total[state]} {state}" for state in UpstreamOperation.State))
        if total.total() != total[_KNOWN]:
            raise CommandError("The upstreams are not what the catalogues were made from.")

    def _documents(self, files: list[Path]) -> Iterator[tuple[DocumentedService, dict[str, Any]]]:
        try:
            for file in files:
                document = _read(file)
                yield service_of(document), document
            for service in () if files else DOCUMENTED_SERVICES:
                yield service, live_document(service)
        except DocumentUnavailable as exc:
            raise CommandError(str(exc)) from exc


def _read(file: Path) -> dict[str, Any]:
    try:
        document = orjson.loads(file.read_bytes())
    except OSError as exc:
        raise CommandError(f"{file} can't be read: {exc.strerror}.") from exc
    except orjson.JSONDecodeError as exc:
        raise CommandError(f"{file} is not JSON: {exc}.") from exc
    if not isinstance(document, dict):
        raise CommandError(f"{file} is no OpenAPI document.")
    return document
