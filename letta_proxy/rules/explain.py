"""Why a request to Letta is allowed or denied, step by step, without making it.

The steps are the pipeline's own functions, on an exchange that nobody has sent. Nothing is
forwarded, recorded or made; Letta is asked, in the user's name, whose a thing is that the gateway
has no row of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from channels.db import database_sync_to_async

from accounts.principals.principal import Principal, Scheme
from gateway_core.context import RequestRecord
from gateway_core.errors import AccountSuspended, GatewayError, ResourceNotFound
from gateway_core.proxy.body import check_size
from gateway_core.proxy.exchange import Exchange
from gateway_core.proxy.operations import BodyKind, split_path
from letta_proxy.catalogue import CATALOGUE
from letta_proxy.catalogue.operation import operation_of
from letta_proxy.handles import is_offered
from letta_proxy.mode import is_cloud
from letta_proxy.models import AccessRule, LettaAccount, OwnedResource
from letta_proxy.ownership import owns_all
from letta_proxy.policy.reading import read_body, read_path, read_query, refuse_closed
from letta_proxy.proxy import ROUTE
from letta_proxy.roster import require_open
from letta_proxy.rules.book import as_applied
from letta_proxy.rules.decisions import compiled, decide, matching
from letta_proxy.rules.enforce import denial
from letta_proxy.rules.models import Effect
from letta_proxy.rules.patterns import letta_path
from letta_proxy.rules.steps import Explanation, Outcome, Step, passed, stopped
from letta_proxy.tools import require_allowed
from letta_proxy.translate import UNKNOWN_HANDLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from accounts.models import User
    from letta_proxy.ownership import Claim
    from letta_proxy.policy.demands import Demands
    from letta_proxy.rules.decisions import Rule

_READERS: Final = (("path", read_path), ("query", read_query), ("body", read_body))
_NOT_THEIRS: Final = "is not the user's, or does not exist"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whether a user may make a request.

    Attributes:
        path: Letta's, or the gateway's with its prefix; encoded as a client would send it. What
            follows a question mark is the query, if there is no other.
        body: the parsed JSON body, None without one.
        unsaved: rules to be tried beside those in force.
        show_owners: say whose somebody else's things are, which is for staff only.
    """

    user: User
    method: str
    path: str
    query: str = ""
    body: Any = None
    unsaved: tuple[Rule, ...] = ()
    show_owners: bool = False


async def explain(question: Question) -> Explanation:
    """Walk a request's way and return every step of it.

    After a denial the walk goes on as far as it can, so that everything in the way is seen.
    """
    return Explanation(steps=tuple([step async for step in _walk(question)]))


async def _walk(question: Question) -> AsyncIterator[Step]:
    yield _look_at_user(question.user)
    exchange = _exchange(question)
    for step in _match(exchange, question):
        yield step
        if step.outcome is Outcome.DENIED:
            return
    for step in _apply_rules(exchange, await _rules_in_force(), question.unsaved):
        yield step
    has_account = await _has_account(question.user)
    if not has_account:
        yield Step(
            name="account",
            outcome=Outcome.NOTED,
            detail="The user has nothing in Letta yet; their first request makes their account.",
        )
    for place, read in _READERS:
        try:
            demands = _read_sized(exchange, place, read)
        except GatewayError as error:
            yield stopped(place, error)
            continue
        yield passed(place, _found(demands, exchange, place))
        async for step in _confirm(demands, question, has_account=has_account):
            yield step


def _look_at_user(user: User) -> Step:
    if not user.is_active:
        return stopped("user", AccountSuspended())
    kind = "an anonymous user" if user.is_anonymous_user else "a registered user"
    return passed("user", f"{user} ({user.pk}) is {kind}, and active.")


def _exchange(question: Question) -> Exchange:
    path, _, after = question.path.partition("?")
    principal = Principal(
        user_id=question.user.pk,
        email=question.user.email,
        is_anonymous=question.user.is_anonymous_user,
        scheme=Scheme.SUPABASE,
        expires_at=0,
    )
    scope = {
        "type": "http",
        "method": question.method,
        "path": letta_path(path),
        "query_string": (question.query or after).encode(),
        "headers": [],
    }
    record = RequestRecord("", "", question.method, path, client_ip="", started=0)
    return Exchange(
        route=ROUTE,
        scope=scope,
        receive=_never,
        send=_never,
        record=record,
        request_headers=[],
        principal=principal,
        payload=question.body,
    )


async def _never(*_: Any) -> Any:
    """An exchange that nobody has sent has no client to receive from or to send to."""
    raise AssertionError


def _match(exchange: Exchange, question: Question) -> Iterator[Step]:
    try:
        segments = split_path(exchange.scope["path"].encode())
    except GatewayError as error:
        yield stopped("address", error)
        return
    yield passed("address", f"Letta's path is /{'/'.join(segments)}.")
    try:
        exchange.operation, exchange.params = CATALOGUE.match(question.method, segments)
        refuse_closed(exchange)
    except GatewayError as error:
        yield stopped("operation", error)
        return
    operation = operation_of(exchange)
    if operation.body is not BodyKind.JSON:
        exchange.payload = None
    yield passed("operation", f"{operation.name}, {operation.method} {operation.path}: offered.")


def _apply_rules(
    exchange: Exchange, in_force: Sequence[Rule], unsaved: Sequence[Rule]
) -> Iterator[Step]:
    """Yield a step for each rule that matches; the one that decides has the error."""
    rules = compiled((*in_force, *unsaved))
    operation = operation_of(exchange)
    request = {
        "operation": operation.name,
        "params": exchange.params,
        "who": exchange.principal,
    }
    decision = decide(rules, **request)
    matched = list(matching(rules, **request))
    if not matched:
        yield passed("rules", f"None of {len(in_force) + len(unsaved)} active rules matches.")
    for rule in matched:
        detail = f"{rule.effect} {rule.method or 'any'} {rule.path_pattern}: {rule.reason}"
        if rule.effect is Effect.DENY:
            yield stopped(rule.id, denial(decision.denied_by, operation), detail=detail)
        else:
            yield Step(name=rule.id, outcome=Outcome.NOTED, detail=detail)


def _read_sized(exchange: Exchange, place: str, read: Any) -> Demands:
    if place == "body" and exchange.payload is not None:
        check_size(exchange, len(orjson.dumps(exchange.payload)))
    return cast("Demands", read(exchange))


def _found(demands: Demands, exchange: Exchange, place: str) -> str:
    if place == "body" and operation_of(exchange).body is BodyKind.FORM:
        return "The fields of a form are looked at while it streams."
    names = len(demands.claims) + len(demands.tools)
    return f"Nothing in it is forbidden. Ids to be confirmed: {names}."


async def _confirm(
    demands: Demands, question: Question, *, has_account: bool
) -> AsyncIterator[Step]:
    async for step in _confirm_claims(demands, question, has_account=has_account):
        yield step
    for tool_id, pointer in demands.tools.items():
        try:
            if not has_account:
                raise ResourceNotFound
            await require_allowed(question.user.pk, {tool_id: pointer})
        except GatewayError as error:
            yield stopped("tool", error, detail=f"{tool_id}: {error.detail}")
        else:
            yield passed("tool", f"{tool_id} is on the list of tools.")
    for handle, pointer in demands.models.items():
        try:
            if not await is_offered(question.user.pk, handle):
                raise ResourceNotFound(UNKNOWN_HANDLE, param=pointer)
        except GatewayError as error:
            yield stopped("model", error, detail=f"{handle}: {error.detail}")
        else:
            yield passed("model", f"{handle} is among the user's models.")


async def _confirm_claims(
    demands: Demands, question: Question, *, has_account: bool
) -> AsyncIterator[Step]:
    for claim in sorted(demands.claims, key=lambda claim: (claim.kind, claim.upstream_id)):
        yield await _confirm_claim(claim, question, has_account=has_account)
    if not has_account:
        return
    try:
        await require_open(question.user.pk, demands.claims)
    except GatewayError as error:
        yield stopped("agent", error)


async def _confirm_claim(claim: Claim, question: Question, *, has_account: bool) -> Step:
    thing = f"{claim.kind.label} {claim.upstream_id}"
    try:
        is_theirs = has_account and await owns_all(question.user.pk, {claim})
    except GatewayError as error:
        return stopped("owner", error, detail=f"{thing}: {error.detail}")
    if is_theirs:
        return passed("owner", f"{thing} is the user's own.")
    whose = await _owner(claim) if question.show_owners else _NOT_THEIRS
    return stopped("owner", ResourceNotFound(), detail=f"{thing} {whose}.")


def _read_owner(claim: Claim) -> str:
    row = (
        OwnedResource.objects.select_related("user")
        .filter(kind=claim.kind, upstream_id=claim.upstream_id)
        .first()
    )
    return f"belongs to {row.user} ({row.user_id})" if row else _NOT_THEIRS


def _read_rules() -> list[Rule]:
    return as_applied(AccessRule.objects.filter(is_active=True))


def _read_account(user: User) -> bool:
    made = LettaAccount.objects.filter(pk=user.pk, state=LettaAccount.State.ACTIVE)
    return is_cloud() or made.exists()


_owner = database_sync_to_async(_read_owner, thread_sensitive=False)
_rules_in_force = database_sync_to_async(_read_rules, thread_sensitive=False)
_has_account = database_sync_to_async(_read_account, thread_sensitive=False)
