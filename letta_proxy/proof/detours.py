"""Ways to write a request so that two readers of it might understand two things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from letta_proxy.models import Kind
from letta_proxy.proof.trials import Outcome, Trial, Who, family_of
from letta_proxy.proof.wire import Request
from letta_proxy.proof.world import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from letta_proxy.catalogue.operation import LettaOperation
    from letta_proxy.proof.world import World

# ``{c}``: the collection's path below /v1, ``{C}``: in another case, ``{own}`` and ``{id}``: the
# caller's own thing of this kind and the foreign one, ``{ID}``: in capitals.
_PATHS: Final = (
    "/v1/{c}%2F{id}",
    "/v1%2f{c}%2f{id}",
    "/v1/{c}/{own}%2F..%2F{id}",
    "/v1/{c}/{own}/../{id}",
    "/v1/{c}/{own}/%2e%2e/{id}",
    "/v1/{c}/./{id}",
    "/v1/x/../{c}/{id}",
    "/v1/../v1/{c}/{id}",
    "/v1/{c}//{id}",
    "/v1//{c}/{id}",
    "//v1/{c}/{id}",
    "/v1/{c}/{id};a=b",
    "/v1/{c};x=1/{id}",
    "/v1/{c}/{own};/../{id}",
    "/v1/{C}/{id}",
    "/V1/{c}/{id}",
    "/v1/{c}/{ID}",
    "/v1/{c}/{id}/",
    "/{c}/{id}",
    "/v1/{c}/{id}%00",
    "/v1/{c}/{id}%0a",
    "/v1/{c}/{id}%20",
    "/v1/{c}/{id}%5C",
    "/v1/{c}/{own}%5C..%5C{id}",
    "/v1/{c}/{id}%3Fx=y",
    "/v1/{c}/{id}%23",
    "/v1/{c}%252F{id}",
    "/v1/{c}/{own}%252F..%252F{id}",
    "/v1/{c}/%ef%bc%8f{id}",
    "/v1/v1/{c}/{id}",
    "/latest/{c}/{id}",
    "/v1/{c}/{id}?user_id={actor}",
    "/v1/{c}/{id}?actor_id={actor}",
)
_METHODS: Final = ("x-http-method-override", "x-http-method", "x-method-override")
_ROOT: Final = "/api/v1/letta"


def detours(
    operations: Iterable[LettaOperation], owner: World, stranger: World, actor: str
) -> Iterator[Trial]:
    """Yield the detours to one thing of each family.

    Args:
        actor: the id by which Letta itself knows the owner.
    """
    for family, name in _things(operations).items():
        words = {
            "c": family,
            "C": family.capitalize(),
            "own": stranger.ids[name],
            "id": owner.ids[name],
            "ID": owner.ids[name].upper(),
            "actor": actor,
        }
        for path in _PATHS:
            yield _trial(family, path, "GET", _ROOT + path.format_map(words))
        item = f"{PREFIX}/{family}/{owner.ids[name]}"
        for header in _METHODS:
            yield _trial(family, header, "GET", item, ((header, "DELETE"),))
            yield _trial(family, header, "POST", item, ((header, "GET"),))
        yield from _impersonations(family, item, actor)


def _impersonations(family: str, item: str, actor: str) -> Iterator[Trial]:
    claims = (
        ("user_id", actor),
        ("user_id", actor),
        ("user-id", actor),
        ("x-user-id", actor),
        ("x-bare-password", "password x"),
        ("x-project-id", "x"),
        ("x-organization-id", "org-00000000-0000-4000-8000-000000000000"),
        ("x-original-url", item),
        ("x-rewrite-url", item),
    )
    yield _trial(family, "two user_id headers", "GET", item, claims)
    yield _trial(
        family,
        "two user_id headers",
        "GET",
        f"{PREFIX}/{family}/",
        claims,
        outcome=Outcome.NOTHING_FOREIGN,
    )


def _things(operations: Iterable[LettaOperation]) -> dict[str, str]:
    """Return the parameter that names one thing of a family, for each family that has one."""
    return {
        family_of(operation): name
        for operation in operations
        for name, rule in operation.owners.items()
        if operation.path == f"/{family_of(operation)}/{{{name}}}" and rule is not Kind.TOOL
    }


def _trial(  # noqa: PLR0913 - the parts of a trial
    family: str,
    what: str,
    method: str,
    target: str,
    headers: tuple[tuple[str, str], ...] = (),
    *,
    outcome: Outcome = Outcome.LED_NOWHERE,
) -> Trial:
    return Trial(
        family=family,
        operation="detour",
        who=Who.OTHER,
        what=what,
        outcome=outcome,
        request=Request(method=method, target=target, headers=headers),
    )
