from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from gateway_core.advisory import AlreadyRunning, only_one
from gateway_core.errors import GatewayError
from gateway_core.progress import Progress
from templates_app.directory import DirectoryUnusable, import_file, read_directory
from templates_app.elsewhere import KEPT_ELSEWHERE, keeper
from templates_app.models import Visibility
from templates_app.services import Place

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

    from templates_app.directory import AgentFile


class Command(BaseCommand):
    """Brings in the product's templates, as their authors keep them."""

    help = (
        "Publish the Agent Files (.yaml, .yml, .json) of a directory as the product's templates. "
        "Nothing is published when one of them is not valid; what is published already is left "
        "alone, so that it can be run at every deployment."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("directory", metavar="DIR", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="publish nothing")
        parser.add_argument(
            "--visibility",
            choices=Visibility.values,
            default=Visibility.PUBLIC.value,
            help="private: for staff to see, as a draft",
        )

    def handle(self, **options: Any) -> None:
        """Import.

        Raises:
            CommandError: a file is not valid or its version can't be published; with every fault.
                Or another service keeps templates.
        """
        if keeper() is not None:
            raise CommandError(KEPT_ELSEWHERE)
        try:
            files = read_directory(options["directory"])
            with only_one("import_templates"), ExitStack() as stack:
                if options["dry_run"]:
                    # Each version must be higher than what the files before it would have brought.
                    stack.enter_context(transaction.atomic())
                    stack.callback(transaction.set_rollback, True)
                refusals = self._import(files, options)
        except DirectoryUnusable as exc:
            raise CommandError(_list("Nothing was published.", exc.faults)) from exc
        except OSError as exc:
            raise CommandError(f"{options['directory']}: {exc.strerror}") from exc
        except AlreadyRunning as exc:
            raise CommandError("Another process is importing templates.") from exc
        if refusals:
            raise CommandError(_list("Some could not be published.", refusals))

    def _import(self, files: Sequence[AgentFile], options: dict[str, Any]) -> list[str]:
        """Publish each file in a transaction of its own; return why some could not be."""
        place = Place(by=None, visibility=Visibility(options["visibility"]))
        published, refusals = 0, []
        with Progress() as progress:
            for number, file in enumerate(files, start=1):
                try:
                    published += import_file(place=place, file=file)
                except GatewayError as error:
                    refusals.append(f"{file.path.name}: {error.param or ''} {error.detail}")
                progress.show("templates", number, len(files))
        unchanged = len(files) - published - len(refusals)
        self.stdout.write(
            f"{'would be published' if options['dry_run'] else 'published'}: {published}, "
            f"unchanged: {unchanged}, refused: {len(refusals)}"
        )
        return refusals


def _list(title: str, faults: Sequence[str]) -> str:
    return "\n  ".join([title, *faults])
