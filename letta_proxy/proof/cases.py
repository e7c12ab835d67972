"""What has to be tried, out of the catalogue: each operation, by each person, at each place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from letta_proxy.catalogue.closed import UNDOCUMENTED
from letta_proxy.models import Kind
from letta_proxy.proof.positions import Place, positions
from letta_proxy.proof.specimens import EMPTYING, WITHOUT_ALIASES
from letta_proxy.proof.trials import Outcome, Trial, Who, family_of, request_for
from letta_proxy.proof.wire import Request
from letta_proxy.proof.world import PREFIX, missing_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from letta_proxy.catalogue.operation import LettaOperation
    from letta_proxy.proof.positions import Position
    from letta_proxy.proof.world import World

_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_MADE_UP: Final = "x-00000000-0000-4000-8000-00000000beef"
_ROOT: Final = "/api/v1/letta"


def of_a_stranger(
    operation: LettaOperation, who: Who, owner: World, stranger: World
) -> Iterator[Trial]:
    """Yield the requests with which somebody tries to reach what is the owner's."""
    for position in positions(operation):
        if owner.ids[position.thing] != stranger.ids[position.thing]:
            yield from _at(position, operation, who, owner, stranger)
    in_path = [one for one in positions(operation) if one.place is Place.PATH]
    if len(in_path) > 1:
        theirs = stranger.words() | owner.ids
        yield _trial(
            operation,
            who,
            "every id of the path",
            Outcome.NOT_THERE,
            request_for(operation, theirs),
            twin=request_for(operation, theirs | missing_ids(owner.ids)),
        )
    # What they do to their own must not reach the owner's either.
    if operation.method != "DELETE":
        own = request_for(operation, stranger.words())
        yield _trial(operation, who, "with own ids", Outcome.NOTHING_FOREIGN, own)


def of_the_owner(operation: LettaOperation, owner: World) -> Iterator[Trial]:
    """Yield the requests that must not be refused, each id at each place among them."""
    yield _trial(
        operation, Who.OWNER, "with own ids", Outcome.USED, request_for(operation, owner.words())
    )
    for position in positions(operation):
        if not _is_worth_using(position, operation):
            continue
        request = request_for(
            operation, owner.words(), at=position, values=(owner.ids[position.thing],)
        )
        yield _trial(operation, Who.OWNER, str(position), Outcome.USED, request)


def of_nobody(operation: LettaOperation, owner: World) -> Trial:
    """Return the request without a token."""
    request = request_for(operation, owner.words())
    return _trial(operation, Who.ANONYMOUS, "without a token", Outcome.UNAUTHENTICATED, request)


def of_what_is_closed(operation: LettaOperation, who: Who, owner: World) -> Trial:
    """Return a request for an operation that nobody may use."""
    path = _PARAMETER.sub(lambda found: owner.ids.get(found[1], _MADE_UP), operation.path)
    body: dict[str, str] | None = None if operation.method == "GET" else {}
    request = Request(method=operation.method, target=PREFIX + path, body=body)
    return _trial(operation, who, "not offered", _closed_to(who), request)


def of_what_is_undocumented(who: Who, owner: World) -> Iterator[Trial]:
    """Yield requests for what Letta serves and does not document."""
    below = ("", "/agents/", f"/agents/{owner.ids['agent_id']}", "/v1/messages", "/messages/")
    for root in (PREFIX, _ROOT):
        for prefix in UNDOCUMENTED:
            for rest in below:
                yield Trial(
                    family="undocumented",
                    operation=f"GET {prefix}",
                    who=who,
                    what=f"{root}{prefix}{rest}",
                    outcome=_closed_to(who),
                    request=Request(method="GET", target=f"{root}{prefix}{rest}"),
                )


def in_order_of_use(operations: Iterable[LettaOperation]) -> list[LettaOperation]:
    """Return operations so that none takes away what a later one needs: agents go last."""

    def rank(operation: LettaOperation) -> tuple[int, int]:
        if operation.method == "DELETE":
            is_agent = operation.owners.get(operation.deletes) is Kind.AGENT
            return 3, 1 if is_agent else -len(operation.owners)
        if "/detach/" in operation.path:
            return 2, 0
        if operation.method == "GET":
            return 0, 0
        # A list of ids replaces what an agent had before, and without messages there is nothing to
        # summarize.
        replaces = any(one.place is Place.BODY for one in positions(operation))
        return 1, int(replaces or operation.name in EMPTYING)

    return sorted(operations, key=rank)


def _is_worth_using(position: Position, operation: LettaOperation) -> bool:
    """Say whether the owner's plain request has not had this in it already."""
    if operation.method == "DELETE" or position.thing == "identity_id":
        return False
    if position.place is not Place.PATH:
        return True
    return position.thing != position.name and operation.name not in WITHOUT_ALIASES


def _at(
    position: Position, operation: LettaOperation, who: Who, owner: World, stranger: World
) -> Iterator[Trial]:
    foreign, own = owner.ids[position.thing], stranger.ids[position.thing]
    missing = missing_ids(owner.ids)[position.thing]
    words = stranger.words()
    tried: list[tuple[str, Sequence[str], Sequence[str]]] = [
        (str(position), (foreign,), (missing,))
    ]
    if position.place is Place.QUERY:
        tried.append((f"{position}, after an own one", (own, foreign), (own, missing)))
    if position.place is Place.BODY and position.name.endswith("/*"):
        tried.append((f"{position}, beside an own one", (own, foreign), (own, missing)))
    for what, values, twins in tried:
        yield _trial(
            operation,
            who,
            what,
            Outcome.NOT_THERE if position.must_be_own else Outcome.AS_MISSING,
            request_for(operation, words, at=position, values=values),
            twin=request_for(operation, words, at=position, values=twins),
            thing=position.thing,
            ids=(foreign, missing),
        )


def _trial(  # noqa: PLR0913 - the parts of a trial
    operation: LettaOperation,
    who: Who,
    what: str,
    outcome: Outcome,
    request: Request,
    *,
    twin: Request | None = None,
    thing: str = "",
    ids: tuple[str, str] = ("", ""),
) -> Trial:
    return Trial(
        family=family_of(operation),
        operation=operation.name,
        who=who,
        what=what,
        outcome=outcome,
        request=request,
        twin=twin,
        thing=thing,
        ids=ids,
    )


def _closed_to(who: Who) -> Outcome:
    return Outcome.UNAUTHENTICATED if who is Who.ANONYMOUS else Outcome.NOT_OFFERED
