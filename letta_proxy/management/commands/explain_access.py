"""Say why a user may or may not make a request to Letta."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from accounts.people import users_named
from letta_proxy import client
from letta_proxy.rules.explain import Question, explain
from letta_proxy.rules.models import Method
from letta_proxy.rules.steps import Answer, Outcome

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from letta_proxy.rules.steps import Explanation, Step

_MARKS: Final = {
    Outcome.PASSED: "+",
    Outcome.NOTED: "!",
    Outcome.DENIED: "x",
    Outcome.UNKNOWN: "?",
}
# Bad input and no answer, as with most commands; 1 is for a denial.
_NO_ANSWER: Final = 2


class Command(BaseCommand):
    """Walks the way of a request without making it; exit code 0: allowed, 1: denied, 2: neither."""

    help = "Say, step by step, why a user may or may not make a request to Letta."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("method", metavar="METHOD", type=str.upper)
        parser.add_argument("path", metavar="PATH", help="Letta's path, with the query if any")
        parser.add_argument("--user", required=True, help="whole e-mail address or id")
        parser.add_argument("--body", metavar="FILE", help="the JSON body; - reads it from stdin")
        parser.add_argument("--json", action="store_true", help="print a JSON document")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Explain.

        Raises:
            CommandError: no such user, method or file, or the body is not JSON.
        """
        question = Question(
            user=_user(options["user"]),
            method=_method(options["method"]),
            path=_path(options["path"]),
            body=_body(options["body"]),
            show_owners=True,
        )
        explanation = async_to_sync(_explain)(question)
        if options["json"]:
            document = orjson.dumps(explanation.as_document(), option=orjson.OPT_INDENT_2)
            self.stdout.write(document.decode())
        else:
            self._show(explanation)
        if explanation.answer is not Answer.ALLOWED:
            sys.exit(1 if explanation.answer is Answer.DENIED else _NO_ANSWER)

    def _show(self, explanation: Explanation) -> None:
        width = max(len(step.name) for step in explanation.steps)
        styles = {Outcome.DENIED: self.style.ERROR, Outcome.UNKNOWN: self.style.WARNING}
        for step in explanation.steps:
            line = f"{_MARKS[step.outcome]} {step.name:<{width}}  {step.detail}"
            self.stdout.write(styles.get(step.outcome, str)(line))
        self.stdout.write(_last_line(explanation.answer, explanation.decisive))


def _last_line(answer: Answer, step: Step | None) -> str:
    return f"{answer}: {step.status} {step.code}, by {step.name}" if step else str(answer)


async def _explain(question: Question) -> Explanation:
    try:
        return await explain(question)
    finally:
        await client.upstream().close()


def _user(term: str) -> User:
    try:
        return users_named(term).get()
    except User.DoesNotExist as exc:
        raise CommandError(f"There is no user {term!r}.", returncode=_NO_ANSWER) from exc
    except User.MultipleObjectsReturned as exc:
        raise CommandError(
            f"Several users have the address {term!r}. Give the id.", returncode=_NO_ANSWER
        ) from exc


def _method(name: str) -> str:
    if name not in Method.values:
        raise CommandError(
            f"{name} is not one of {', '.join(Method.values)}.", returncode=_NO_ANSWER
        )
    return name


def _path(path: str) -> str:
    if not path.startswith("/"):
        raise CommandError("The path begins with a slash: /agents/…", returncode=_NO_ANSWER)
    return path


def _body(name: str | None) -> Any:
    if name is None:
        return None
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return orjson.loads(content)
    except (OSError, orjson.JSONDecodeError) as exc:
        raise CommandError(f"{name}: {exc}", returncode=_NO_ANSWER) from exc
