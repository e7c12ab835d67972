from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from agents.upgrades.merging import Choice, Strategy
from agents.upgrades.patching import Operation
from agents.upgrades.plan import Plan, difference, done, make_plan
from agents.upgrades.states import State, file_of_state, state_of_agent, state_of_file
from gateway_core.errors import FieldInvalid

UNDECIDED = Strategy()
KEEP, TAKE = (Strategy(in_all=choice) for choice in (Choice.KEEP_AGENT, Choice.TAKE_TEMPLATE))

WORDS = some.sampled_from(["", "a", "b", "long text"])
BLOCK = some.fixed_dictionaries(
    {"value": WORDS},
    optional={
        "limit": some.sampled_from([20, 30]),
        "description": WORDS,
        "read_only": some.booleans(),
    },
)
SETTINGS = {"/persona/system_prompt": WORDS, "/engine/model": some.sampled_from(["x", "y"])}
STATES = some.builds(
    State,
    settings=some.fixed_dictionaries(
        SETTINGS, optional={"/engine/hyperparams/temperature": some.sampled_from([0.1, 0.2])}
    ),
    tools=some.lists(some.sampled_from("rstu"), unique=True).map(tuple),
    blocks=some.dictionaries(some.sampled_from("kmn"), BLOCK),
    environment=some.dictionaries(some.just("KEY"), WORDS),
)


def in_letta(state: State) -> State:
    """Return an agent that was made so: Letta fills in what is not said."""
    usual = {"limit": 100, "description": "Letta's", "read_only": False}
    blocks = {label: {**usual, **block} for label, block in state.blocks.items()}
    return replace(state, blocks=blocks)


AGENTS = STATES.map(in_letta)
STRATEGIES = some.sampled_from([UNDECIDED, KEEP, TAKE])


def plan(old: State, new: State, now: State, strategy: Strategy = UNDECIDED) -> Plan:
    return make_plan(old=old, new=new, now=now, strategy=strategy)


def comparable(state: State) -> tuple[Any, ...]:
    return state.settings, set(state.tools), state.blocks, state.environment


@given(old=STATES, new=STATES)
def test_an_agent_that_nobody_has_changed_becomes_what_the_version_says(
    old: State, new: State
) -> None:
    made = plan(old, new, in_letta(old))

    assert made.conflicts == ()
    after = done(in_letta(old), made.steps)
    kept = {k: v for k, v in old.settings.items() if k not in new.settings}
    wanted = replace(new, settings={**new.settings, **kept})
    assert comparable(replace(after, blocks={})) == comparable(replace(wanted, blocks={}))
    assert after.blocks.keys() == new.blocks.keys()
    for label, block in new.blocks.items():
        assert after.blocks[label].items() >= block.items()


LABELS = some.sampled_from("kmnp").map("/memory_layout/blocks/{}".format)
OPERATIONS = some.builds(
    Operation,
    op=some.sampled_from(["add", "replace", "remove", "move", "copy"]),
    path=LABELS,
    source=LABELS,
    value=some.fixed_dictionaries({"value": WORDS}, optional={"description": WORDS}),
    place=some.just("/migrations/0/steps/0/patch/0"),
).filter(lambda one: one.path != one.source)


def having_learned(now: State, *, since: State) -> State:
    """Return an agent whose own words are no template's.

    What a step says and the agent has already is the template's from there on, as between versions.
    """

    def marked(label: str, value: str) -> str:
        is_own = label not in since.blocks or since.blocks[label]["value"] != value
        return f"learned {label} {value}" if is_own else value

    blocks = {
        label: {**block, "value": marked(label, block["value"])}
        for label, block in now.blocks.items()
    }
    return replace(now, blocks=blocks)


def learned_in(state: State) -> set[str]:
    values = {block["value"] for block in state.blocks.values()}
    return {value for value in values if value.startswith("learned")}


@given(
    old=STATES,
    new=STATES,
    now=AGENTS,
    strategy=some.sampled_from([UNDECIDED, KEEP]),
    operations=some.lists(OPERATIONS, max_size=4),
)
def test_steps_lose_nothing_that_an_agent_has_learned_unless_the_template_is_chosen(
    old: State, new: State, now: State, strategy: Strategy, operations: list[Operation]
) -> None:
    now = having_learned(now, since=old)
    try:
        made = make_plan(old=old, new=new, now=now, strategy=strategy, operations=operations)
    except FieldInvalid:
        return
    after = done(now, made.steps)
    values = {block["value"] for block in after.blocks.values()}
    assert learned_in(now) <= values
    assert done(after, [step.inverse for step in reversed(made.steps)]) == now


def test_what_a_step_says_and_the_agent_has_already_later_steps_may_change() -> None:
    def saying(value: str) -> Operation:
        path = "/memory_layout/blocks/rules"
        return Operation(op="add", path=path, value={"value": value}, place="")

    now = State(blocks={"rules": {"value": "Be kind."}})
    steps = [saying("Be kind."), saying("Be brisk.")]
    whole = make_plan(old=State(), new=State(), now=now, strategy=UNDECIDED, operations=steps)
    first = make_plan(old=State(), new=State(), now=now, strategy=UNDECIDED, operations=steps[:1])
    second = make_plan(
        old=first.base, new=State(), now=first.after, strategy=UNDECIDED, operations=steps[1:]
    )

    assert whole.conflicts == ()
    assert whole.after == second.after
    assert whole.after.blocks["rules"]["value"] == "Be brisk."


@given(old=STATES, now=AGENTS, strategy=STRATEGIES)
def test_nothing_is_done_when_the_template_has_not_changed(
    old: State, now: State, strategy: Strategy
) -> None:
    now = replace(now, environment=old.environment)
    made = plan(old, old, now, strategy)
    assert (made.steps, made.conflicts) == ((), ())


@given(old=STATES, new=STATES, strategy=STRATEGIES)
def test_nothing_is_done_to_an_agent_that_is_so_already(
    old: State, new: State, strategy: Strategy
) -> None:
    now = in_letta(replace(new, settings={**old.settings, **new.settings}))
    made = plan(old, new, now, strategy)
    assert (made.steps, made.conflicts) == ((), ())


@given(old=STATES, new=STATES, now=AGENTS, strategy=some.sampled_from([UNDECIDED, KEEP]))
def test_what_an_agent_has_learned_is_never_lost_unless_the_template_is_chosen(
    old: State, new: State, now: State, strategy: Strategy
) -> None:
    after = done(now, plan(old, new, now, strategy).steps)

    for label, block in now.blocks.items():
        if label not in old.blocks or old.blocks[label]["value"] != block["value"]:
            assert after.blocks[label]["value"] == block["value"]
    assert {*now.tools} - {*old.tools} <= {*after.tools}


@given(old=STATES, new=STATES, now=AGENTS, strategy=some.sampled_from([KEEP, TAKE]))
def test_a_choice_for_all_leaves_no_conflict(
    old: State, new: State, now: State, strategy: Strategy
) -> None:
    assert plan(old, new, now, strategy).conflicts == ()


@given(old=STATES, new=STATES, now=AGENTS)
def test_what_the_template_has_changed_is_taken_when_the_template_is_chosen(
    old: State, new: State, now: State
) -> None:
    after = done(now, plan(old, new, now, TAKE).steps)

    for label in old.blocks.keys() | new.blocks.keys():
        olds, news = old.blocks.get(label), new.blocks.get(label)
        if olds is None or news is None:
            assert (label in after.blocks) == (news is not None)
        elif olds["value"] != news["value"]:
            assert after.blocks[label]["value"] == news["value"]


@given(old=STATES, new=STATES, now=AGENTS, choice=some.sampled_from(Choice))
def test_conflicts_can_be_chosen_for_one_by_one(
    old: State, new: State, now: State, choice: Choice
) -> None:
    conflicts = plan(old, new, now).conflicts
    chosen = Strategy(by_pointer={conflict.pointer: choice for conflict in conflicts})

    assert plan(old, new, now, chosen) == plan(old, new, now, Strategy(in_all=choice))
    if conflicts:
        first, *others = conflicts
        partly = Strategy(by_pointer={first.pointer: choice})
        assert plan(old, new, now, partly).conflicts == tuple(others)


@given(old=STATES, new=STATES, now=AGENTS, strategy=STRATEGIES, data=some.data())
def test_steps_can_be_undone_from_anywhere_and_done_twice(
    old: State, new: State, now: State, strategy: Strategy, data: some.DataObject
) -> None:
    steps = plan(old, new, now, strategy).steps
    count = data.draw(some.integers(0, len(steps)))

    half = done(now, steps[:count])
    assert done(half, [step.inverse for step in reversed(steps[:count])]) == now
    whole = done(now, steps)
    assert done(half, steps) == done(whole, steps) == whole
    assert list(difference(whole, whole)) == []


@given(old=STATES, new=STATES, now=AGENTS)
def test_the_same_plan_has_the_same_hash_and_another_one_another(
    old: State, new: State, now: State
) -> None:
    made = plan(old, new, now)
    learned = {**now.blocks, "untouched": {"value": "x"}}

    assert plan(old, new, replace(now, blocks=learned)).hash("1") == made.hash("1")
    assert made.hash("1") != made.hash("2")
    if made.steps:
        assert replace(made, steps=made.steps[1:]).hash("1") != made.hash("1")


def test_a_longer_memory_raises_the_new_limit() -> None:
    def with_block(value: str, limit: int) -> State:
        block = {"value": value, "limit": limit, "description": "", "read_only": False}
        return State(blocks={"human": block})

    made = plan(with_block("a", 50), with_block("a", 3), with_block("learned", 50))

    assert made.after.blocks["human"]["limit"] == 7
    assert "longer than its new limit" in made.warnings[0]


def test_values_of_the_environment_are_shown_to_nobody() -> None:
    made = plan(State(), State(environment={"KEY": "secret"}), State())

    assert [*made.steps[0].differences()] == [
        {"pointer": "/tool_env/KEY", "before": None, "after": "********"}
    ]
    assert "secret" not in repr(made)


@given(state=STATES)
def test_a_state_as_a_file_is_the_same_state(state: State) -> None:
    document = file_of_state(state)
    bare = {key: value for key, value in state.settings.items() if value}
    assert state_of_file(document, state.environment) == replace(
        state, settings={"/persona/system_prompt": "", **bare}
    )


def test_a_file_and_its_agent_are_the_same() -> None:
    document = {
        "engine": {"model": "m", "embedding": "e", "hyperparams": {"temperature": 0.5}},
        "persona": {"system_prompt": "Help."},
        "memory_layout": {"blocks": [{"label": "human", "value": "x"}]},
        "tools": ["t"],
    }
    agent = {
        "system": "Help.",
        "model": "m",
        "embedding": "e",
        "model_settings": {"temperature": 0.5, "provider_type": "openai"},
        "tools": [{"name": "t"}],
        "blocks": [{"label": "human", "value": "x", "description": None, "id": "b"}],
    }

    assert state_of_file(document, {}) == state_of_agent(agent, {})
    assert State.from_json(state_of_agent(agent, {}).as_json()) == state_of_agent(agent, {})
