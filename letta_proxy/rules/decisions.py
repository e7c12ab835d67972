"""Deciding by rules: a pure function over a set that is compiled once and never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from letta_proxy.rules.coverage import covered
from letta_proxy.rules.models import Effect, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID


class Who(Protocol):
    """What a rule may ask about the principal."""

    @property
    def user_id(self) -> UUID:
        """The gateway user."""
        ...

    @property
    def is_anonymous(self) -> bool:
        """Whether they are signed in without an account."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule as it is applied; empty and None mean any."""

    id: str
    effect: Effect
    method: str
    path_pattern: str
    user_id: UUID | None = None
    role: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Group:
    """Rules that want the same parameters of a path to be something, by what they have to be."""

    names: tuple[str, ...]
    rules: Mapping[tuple[str, ...], tuple[Rule, ...]]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All active rules by operation and user; user None is everybody.

    However many rules there are, a request is compared with those alone that it may match.
    """

    groups: Mapping[tuple[str, UUID | None], tuple[_Group, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the rules say of a request: the id of the rule that denies it, or those that would."""

    denied_by: str = ""
    shadowed_by: tuple[str, ...] = ()


NOTHING: Final = Decision()


def compiled(rules: Iterable[Rule]) -> RuleSet:
    """Lay each rule at the operations that it covers."""
    placed: dict[tuple[str, UUID | None], dict[tuple[str, ...], dict[tuple[str, ...], list[Rule]]]]
    placed = {}
    for rule in rules:
        for one in covered(rule.method, rule.path_pattern):
            groups = placed.setdefault((one.operation.name, rule.user_id), {})
            group = groups.setdefault(tuple(one.where), {})
            group.setdefault(tuple(one.where.values()), []).append(rule)
    return RuleSet(
        {
            key: tuple(
                _Group(names, {values: tuple(found) for values, found in group.items()})
                for names, group in groups.items()
            )
            for key, groups in placed.items()
        }
    )


def decide(rules: RuleSet, *, operation: str, params: Mapping[str, str], who: Who) -> Decision:
    """Say what the rules make of a request that the catalogue has let through.

    There is no answer that allows: rules only take away.

    Args:
        operation: the catalogue's name of it.
        params: the decoded parameters of its path, as the catalogue has matched them.
    """
    shadows = []
    for rule in matching(rules, operation=operation, params=params, who=who):
        if rule.effect is Effect.DENY:
            return Decision(denied_by=rule.id)
        shadows.append(rule.id)
    return Decision(shadowed_by=tuple(shadows)) if shadows else NOTHING


def matching(
    rules: RuleSet, *, operation: str, params: Mapping[str, str], who: Who
) -> Iterator[Rule]:
    """Yield the rules that match a request: those for everybody, then the user's own."""
    for user_id in (None, who.user_id):
        for group in rules.groups.get((operation, user_id), ()):
            values = tuple([params.get(name, "") for name in group.names])
            for rule in group.rules.get(values, ()):
                if not rule.role or (rule.role == Role.ANONYMOUS) == who.is_anonymous:
                    yield rule
