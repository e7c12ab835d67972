from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from gateway_core.advisory import AlreadyRunning, only_one
from gateway_core.errors import GatewayError
from gateway_core.progress import Progress
from llm_proxy.client import connections
from llm_proxy.virtual_keys.sync.apply import Outcome, apply
from llm_proxy.virtual_keys.sync.plan import Kind, Planner

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from llm_proxy.virtual_keys.sync.plan import Plan


class Command(BaseCommand):
    """Makes LiteLLM and our rows agree; can be run at any time, and again after a failure."""

    help = (
        "Compare LiteLLM's users and keys with those of the gateway: make what is missing, change "
        "what has other limits, block and unblock, delete what has ended. With --prune delete what "
        "only LiteLLM has, as far as this gateway has made it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
        parser.add_argument("--prune", action="store_true", help="delete what only LiteLLM has")

    def handle(self, **options: Any) -> None:
        """Plan, and do.

        Raises:
            CommandError: another process is at it, LiteLLM can't be asked, or steps have failed.
        """
        try:
            with only_one("sync_keys"):
                self._sync(**options)
        except AlreadyRunning as exc:
            raise CommandError("Another process is at it.") from exc
        except GatewayError as error:
            raise CommandError(
                f"LiteLLM at {settings.LITELLM_BASE_URL}: {error.detail} "
                "Nothing is lost: run it again."
            ) from error

    def _sync(self, *, dry_run: bool, prune: bool, verbosity: int, **_options: Any) -> None:
        with Progress() as progress:
            plan, outcome = async_to_sync(_run)(progress, is_dry_run=dry_run, prune=prune)
        if dry_run and verbosity:
            for step in plan.steps:
                self.stdout.write(str(step))
        self._report(plan, outcome)

    def _report(self, plan: Plan, outcome: Outcome | None) -> None:
        self.stdout.write(
            f"LiteLLM has {plan.keys} keys and {plan.users} users; "
            f"{plan.foreign} keys named as ours are another gateway's"
        )
        if outcome is None:
            planned = [step.kind for step in plan.steps]
            counts = ", ".join(f"{planned.count(kind)} to {kind}" for kind in Kind)
            self.stdout.write(f"{counts}; nothing was done")
            return
        counts = ", ".join(f"{kind} {outcome.done[kind]}" for kind in Kind)
        self.stdout.write(f"{counts}; {outcome.left} left for --prune, {outcome.failed} failed")
        if outcome.failed:
            raise CommandError(f"Steps that failed: {outcome.failed}. The log says why.")


async def _run(progress: Progress, *, is_dry_run: bool, prune: bool) -> tuple[Plan, Outcome | None]:
    try:
        plan = await Planner(progress.show).make()
        if is_dry_run:
            return plan, None
        return plan, await apply(plan, prune=prune, show=progress.show)
    finally:
        await connections.close()
