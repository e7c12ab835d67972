"""One request of the proof, and what has to come of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from gateway_core.proxy.operations import BodyKind
from letta_proxy.proof.positions import Place
from letta_proxy.proof.specimens import BODIES, QUERIES, fill
from letta_proxy.proof.wire import Request, form
from letta_proxy.proof.world import PREFIX, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from letta_proxy.catalogue.operation import LettaOperation
    from letta_proxy.proof.positions import Position


class Who(StrEnum):
    """Who makes a request; all but the owner are strangers to the owner's things."""

    OWNER = "owner"
    OTHER = "other user"
    STAFF = "staff"
    ANONYMOUS = "anonymous"


class Outcome(StrEnum):
    """What has to come of a request. Nothing of the owner's may be in it, unless it is theirs."""

    USED = "the owner gets it"
    NOT_THERE = "404, as for what is missing"
    AS_MISSING = "as for what is missing"
    NOTHING_FOREIGN = "nothing of the owner's"
    LED_NOWHERE = "an error"
    NOT_OFFERED = "403, not offered"
    UNAUTHENTICATED = "401"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One request.

    Attributes:
        family: the first word of the operation's path, for the table.
        what: which place is tried, for people.
        thing: the kind of id that is tried, for comparing times.
        twin: the same request about something that does not exist.
        ids: what to disregard when the two answers are compared: the ids that were asked for.
    """

    family: str
    operation: str
    who: Who
    what: str
    outcome: Outcome
    request: Request
    thing: str = ""
    twin: Request | None = None
    ids: tuple[str, str] = ("", "")


def family_of(operation: LettaOperation) -> str:
    """Return the first word of an operation's path."""
    return operation.path.split("/")[1]


def request_for(
    operation: LettaOperation,
    words: Mapping[str, str],
    *,
    at: Position | None = None,
    values: Sequence[str] = (),
) -> Request:
    """Return a request of whoever has these words.

    Args:
        at: the place to put other ids into.
        values: these ids; several only in a query or a list.
    """
    in_path = dict(words)
    pairs = [(name, fill(text, words)) for name, text in QUERIES.get(operation.name, {}).items()]
    body = _body(operation, words)
    if at is not None:
        if at.alias:
            in_path["conversation_id"] = at.alias
        if at.place is Place.PATH:
            in_path[at.name] = values[0]
        elif at.place is Place.BODY:
            body = _put(body, at.name.split("/")[1:], values)
        else:
            pairs = [pair for pair in pairs if pair[0] != at.name]
            pairs += [(at.name, value) for value in values]
    path = operation.path.format_map(quoted(in_path))
    query = f"?{urlencode(pairs)}" if pairs else ""
    return Request(method=operation.method, target=PREFIX + path + query, body=body)


def _body(operation: LettaOperation, words: Mapping[str, str]) -> Any:
    if operation.body is BodyKind.FORM:
        return form(f"{words['fresh']}.txt", words["canary"])
    if operation.body is BodyKind.NONE:
        return None
    return fill(BODIES.get(operation.name, {}), words)


def _put(body: Any, steps: Sequence[str], values: Sequence[str]) -> Any:
    """Return a body with ids at the place that the steps of a pointer lead to."""
    if not steps:
        return values[0]
    if steps[0] == "*":
        return [_put(None, steps[1:], (value,)) for value in values]
    holder = dict(body or {})
    holder[steps[0]] = _put(holder.get(steps[0]), steps[1:], values)
    return holder
