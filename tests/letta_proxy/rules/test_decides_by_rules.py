"""What must hold for any rules and any request."""

from __future__ import annotations

import random
import timeit
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from letta_proxy.catalogue import CATALOGUE
from letta_proxy.catalogue.operation import LettaOperation
from letta_proxy.rules.coverage import complaint
from letta_proxy.rules.decisions import NOTHING, Rule, compiled, decide
from letta_proxy.rules.models import Effect, Method, Role

ALICE, BOB = UUID(int=1), UUID(int=2)
_IDS = [f"agent-{number}" for number in range(3)]
_OFFERED = [one for one in CATALOGUE.operations if one.is_offered]
_WORDS = sorted({word for one in _OFFERED for word in one.path.split("/") if word.isalpha()})


@dataclass(frozen=True)
class Somebody:
    user_id: UUID
    is_anonymous: bool


@cache
def patterns() -> list[str]:
    """Patterns that may match, each made from an operation's path."""
    chance = random.Random(0)  # noqa: S311 - the same patterns every time
    made = set()
    for operation in _OFFERED:
        for _ in range(6):
            segments = [
                chance.choice(["*", *_IDS[:1]])
                if word.startswith("{")
                else chance.choice([word, "*"])
                for word in operation.path.strip("/").split("/")
            ]
            if chance.random() < 0.4:
                place = chance.randrange(len(segments) + 1)
                segments[place : place + chance.randrange(3)] = ["**"]
            pattern = "/" + "/".join(segments)
            if not complaint("", pattern):
                made.add(pattern)
    return sorted(made)


RULES = st.lists(
    st.builds(
        Rule,
        id=st.uuids().map(str),
        effect=st.sampled_from(Effect),
        method=st.sampled_from(["", *Method.values]),
        path_pattern=st.sampled_from(patterns()),
        user_id=st.sampled_from([None, None, ALICE, BOB]),
        role=st.sampled_from(["", "", *Role.values]),
    ),
    max_size=12,
)
PEOPLE = st.builds(Somebody, st.sampled_from([ALICE, BOB]), st.booleans())


@st.composite
def requests(draw: st.DrawFn) -> tuple[LettaOperation, dict[str, str]]:
    operation = draw(st.sampled_from(_OFFERED))
    return operation, {name: draw(st.sampled_from(_IDS)) for name in operation.owners}


def plainly_matches(
    rule: Rule, operation: LettaOperation, params: dict[str, str], who: Somebody
) -> bool:
    """Say it again in the slowest and plainest way: by the segments of the path."""
    if rule.method not in ("", operation.method) or rule.user_id not in (None, who.user_id):
        return False
    if rule.role and rule.role != ("anonymous" if who.is_anonymous else "registered"):
        return False
    path = operation.path.format_map(params).strip("/").split("/")
    return _fits(rule.path_pattern.strip("/").split("/"), path)


def _fits(pattern: list[str], path: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_fits(pattern[1:], path[skipped:]) for skipped in range(len(path) + 1))
    return bool(path) and pattern[0] in ("*", path[0]) and _fits(pattern[1:], path[1:])


@given(rules=RULES, request=requests(), who=PEOPLE)
def test_finds_what_a_plain_search_finds_and_denial_wins(
    rules: list[Rule], request: tuple[LettaOperation, dict[str, str]], who: Somebody
) -> None:
    operation, params = request
    matched = [rule for rule in rules if plainly_matches(rule, operation, params, who)]
    denials = {rule.id for rule in matched if rule.effect is Effect.DENY}
    shadows = {rule.id for rule in matched if rule.effect is Effect.SHADOW}

    decision = decide(compiled(rules), operation=operation.name, params=params, who=who)

    if denials:
        assert decision.denied_by in denials
        assert decision.shadowed_by == ()
    else:
        assert decision.denied_by == ""
        assert set(decision.shadowed_by) == shadows


@given(rules=RULES, request=requests(), who=PEOPLE, seed=st.randoms(use_true_random=False))
def test_does_not_depend_on_the_order_of_rules(
    rules: list[Rule],
    request: tuple[LettaOperation, dict[str, str]],
    who: Somebody,
    seed: random.Random,
) -> None:
    operation, params = request
    shuffled = seed.sample(rules, len(rules))
    one, other = (
        decide(compiled(some), operation=operation.name, params=params, who=who)
        for some in (rules, shuffled)
    )

    assert bool(one.denied_by) == bool(other.denied_by)
    assert set(one.shadowed_by) == set(other.shadowed_by)


@given(rules=RULES, more=RULES, request=requests(), who=PEOPLE)
def test_no_rule_ever_gives_back_what_another_takes(
    rules: list[Rule],
    more: list[Rule],
    request: tuple[LettaOperation, dict[str, str]],
    who: Somebody,
) -> None:
    operation, params = request
    fewer, all_ = (
        decide(compiled(some), operation=operation.name, params=params, who=who)
        for some in (rules, [*rules, *more])
    )

    assert bool(all_.denied_by) >= bool(fewer.denied_by)


@given(rules=RULES, who=PEOPLE)
def test_has_nothing_to_say_of_what_is_not_offered(rules: list[Rule], who: Somebody) -> None:
    closed = [one for one in CATALOGUE.operations if not one.is_offered]
    compiled_rules = compiled(rules)

    assert all(
        decide(compiled_rules, operation=one.name, params={}, who=who) is NOTHING for one in closed
    )


def test_takes_no_longer_for_a_hundred_rules_than_for_one() -> None:
    who, params = Somebody(ALICE, is_anonymous=False), {"agent_id": "agent-7"}

    def cost(count: int) -> float:
        rules = compiled(
            [
                Rule(
                    id=str(number),
                    effect=Effect.SHADOW,
                    method="POST",
                    path_pattern=f"/agents/agent-{number + 100}/messages",
                )
                for number in range(count)
            ]
        )
        once = lambda: decide(rules, operation="send_message", params=params, who=who)  # noqa: E731
        return min(timeit.repeat(once, number=500, repeat=20))

    few, many = cost(1), cost(100)

    assert many < few * 3


def test_rules_of_everybody_come_before_a_users_own() -> None:
    rules = [
        Rule(id="own", effect=Effect.DENY, method="", path_pattern="/**", user_id=ALICE),
        Rule(id="first", effect=Effect.DENY, method="", path_pattern="/**"),
        Rule(id="second", effect=Effect.DENY, method="", path_pattern="/agents"),
    ]
    found = [
        decide(
            compiled(rules[skipped:]),
            operation="list_agents",
            params={},
            who=Somebody(ALICE, is_anonymous=False),
        ).denied_by
        for skipped in (0, 2)
    ]

    assert found == ["first", "second"]
    assert all(one != other for one, other in pairwise(found))
