from __future__ import annotations

import http.client
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from letta_proxy.mode import CLOUD, SELF_HOSTED
from letta_proxy.proof.people import PeopleUnavailable, sign_up
from letta_proxy.proof.run import Plan, check_declarations, prove
from letta_proxy.proof.trials import Who
from letta_proxy.proof.world import WorldIncomplete

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from letta_proxy.proof.report import Report

_DEFAULT_URL: Final = "http://127.0.0.1:8000"


class Command(BaseCommand):
    """Shows that no user reaches what is another's."""

    help = (
        "Try every offered operation of Letta, with every id of one user's in every place where "
        "an id can stand, as another user, as staff and as nobody; fail on any leak. It makes "
        "things of its own for each user and deletes them again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--base-url", default=_DEFAULT_URL, help="of the gateway; %(default)s")
        parser.add_argument("--owner-token", default="", help="an access token of a user")
        parser.add_argument("--other-token", default="", help="one of another user")
        parser.add_argument("--staff-token", default="", help="one of a user who is staff")
        parser.add_argument(
            "--sandbox-auth", metavar="URL", help="the sandbox's sign-in, to make users there"
        )
        parser.add_argument(
            "--operations", metavar="PATTERN", default="*", help="names or paths, like '*agent*'"
        )
        parser.add_argument(
            "--mode", choices=(SELF_HOSTED, CLOUD), default=settings.LETTA_MODE, help="of Letta"
        )
        parser.add_argument("--model", default="", help="handle; the first that is listed")
        parser.add_argument("--embedding", default="", help="handle; the first that is listed")
        parser.add_argument("--json", metavar="FILE", type=Path, help="write the report there")
        parser.add_argument("--dry-run", action="store_true", help="only look at the catalogue")

    def handle(self, **options: Any) -> None:
        """Prove it.

        Raises:
            CommandError: it is not so, or it could not be tried.
        """
        if options["json"] and not options["json"].parent.is_dir():
            raise CommandError(f"There is no directory {options['json'].parent}.")
        report = self._report(options)
        for line in report.lines():
            self.stdout.write(line)
        for finding in report.findings:
            self.stdout.write(self.style.ERROR(str(finding)))
        for who in report.untried:
            self.stdout.write(self.style.WARNING(f"Not tried, for want of a token: {who}."))
        if options["json"]:
            options["json"].write_bytes(orjson.dumps(report.as_dict(), option=orjson.OPT_INDENT_2))
        self.stdout.write(report.last_line())
        if report.findings:
            raise CommandError("Isolation is not proved.")

    def _report(self, options: dict[str, Any]) -> Report:
        plan = Plan(
            base_url=options["base_url"],
            tokens={} if options["dry_run"] else self._tokens(options),
            pattern=options["operations"],
            model=options["model"],
            embedding=options["embedding"],
            is_cloud=options["mode"] == CLOUD,
            say=lambda line: self.stderr.write(line) if options["verbosity"] else None,
        )
        if not plan.operations():
            raise CommandError(f"No operation is called {plan.pattern}.")
        if options["dry_run"]:
            return check_declarations(plan)
        try:
            return prove(plan)
        except (WorldIncomplete, OSError, http.client.HTTPException) as exc:
            raise CommandError(f"{plan.base_url} could not be tried. {exc}") from exc

    def _tokens(self, options: dict[str, Any]) -> dict[Who, str]:
        if options["sandbox_auth"]:
            try:
                return sign_up(options["sandbox_auth"], options["base_url"])
            except PeopleUnavailable as exc:
                raise CommandError(str(exc)) from exc
        if not options["owner_token"] or not options["other_token"]:
            sandbox = f"--sandbox-auth {settings.SUPABASE_URL}"
            raise CommandError(f"Give --owner-token and --other-token; in a sandbox {sandbox}.")
        given = {
            Who.OWNER: options["owner_token"],
            Who.OTHER: options["other_token"],
            Who.STAFF: options["staff_token"],
        }
        return {who: token for who, token in given.items() if token}
