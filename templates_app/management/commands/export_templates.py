from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from gateway_core.progress import Progress
from templates_app.directory import files_of
from templates_app.elsewhere import KEPT_ELSEWHERE, keeper
from templates_app.models import Template

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from templates_app.models import TemplateQuerySet


class Command(BaseCommand):
    """Writes templates out as their authors keep them."""

    help = (
        "Write the Agent Files of the product's templates, or of a user's, into a directory: one "
        "for each version, as it was published. import_templates reads them again. Tags, labels "
        "and changelogs are not in them; the API's export has these."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("directory", metavar="DIR", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="write nothing")
        parser.add_argument("--latest", action="store_true", help="only the latest versions")
        parser.add_argument("--user", metavar="ID", help="the templates of this user")

    def handle(self, **options: Any) -> None:
        """Export.

        Raises:
            CommandError: there is no such user, or a file can't be written; or another service
                keeps templates.
        """
        if keeper() is not None:
            raise CommandError(KEPT_ELSEWHERE)
        templates = _templates(options["user"])
        written = number = 0
        try:
            if not options["dry_run"]:
                options["directory"].mkdir(parents=True, exist_ok=True)
            files = files_of(templates, only_latest=options["latest"])
            with Progress() as progress:
                for number, (name, content) in enumerate(files, start=1):
                    path = options["directory"] / name
                    written += _write(path, content, only_ask=options["dry_run"])
                    progress.show("versions", number, number)
        except OSError as exc:
            raise CommandError(f"{exc.filename}: {exc.strerror}") from exc
        verb = "would be written" if options["dry_run"] else "written"
        self.stdout.write(f"{verb}: {written}, unchanged: {number - written}")


def _write(path: Path, content: bytes, *, only_ask: bool) -> bool:
    """Say whether a file had to be written."""
    if path.is_file() and path.read_bytes() == content:
        return False
    if not only_ask:
        path.write_bytes(content)
    return True


def _templates(user_id: str | None) -> TemplateQuerySet:
    if user_id is None:
        return Template.objects.filter(owner=None)
    try:
        return Template.objects.filter(owner=User.objects.get(pk=user_id))
    except (User.DoesNotExist, ValueError, ValidationError) as exc:
        raise CommandError(f"There is no user {user_id!r}.") from exc
