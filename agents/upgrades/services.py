"""What the API, commands and jobs do to bring agents to other versions."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from agents.drivers import manager
from agents.making import be_made_from
from agents.snapshots import body_of
from agents.upgrades import remotely
from agents.upgrades.applying import begin, carry_out, given_back, origin_of, write_down
from agents.upgrades.merging import Choice, Strategy
from agents.upgrades.models import Direction, Migration, MigrationState
from agents.upgrades.plan import make_plan
from agents.upgrades.proposing import Proposal, Wish, existing, propose
from agents.upgrades.states import State, file_of_state, state_of_agent
from gateway_core.errors import ResourceConflict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accounts.models import User
    from agents.models import Agent
    from agents.upgrades.merging import Conflict
    from agents.upgrades.plan import Plan

__all__ = ("Wish", "plan_upgrade", "roll_back", "upgrade_agent")


def plan_upgrade(*, agent: Agent, wish: Wish) -> dict[str, Any]:
    """Return what an upgrade would do: ``{plan, diff, conflicts, warnings, plan_hash, …}``.

    Raises:
        GatewayError: as ``propose`` says.
    """
    if manager().upgrades_elsewhere:
        return remotely.plan(agent, wish)
    return propose(agent, wish).as_json()


def upgrade_agent(
    *, agent: Agent, by: User | None, wish: Wish, revision: int | None = None
) -> Migration:
    """Bring an agent to another version of its template.

    Raises:
        EtagMismatch, AgentSuspended: as ``begin`` says.
        ResourceConflict: there are conflicts that nobody has chosen for, the plan is not the one
            that was agreed to, or the agent is not in a state to be upgraded.
        GatewayError: as ``propose`` and ``carry_out`` say.
    """
    migration = begin(agent, Direction.UPGRADE, by=by, revision=revision)
    with given_back(migration):
        if manager().upgrades_elsewhere:
            _prepare_remotely(migration, wish)
        else:
            _prepare(migration, wish)
    return carry_out(migration)


def roll_back(
    *,
    migration: Migration,
    by: User | None,
    strategy: Strategy | None = None,
    revision: int | None = None,
) -> Migration:
    """Undo an upgrade, and return the migration that does so.

    What the agent has learned since stays, but for what the upgrade had changed.

    Raises:
        ResourceConflict: it is not what the agent went through last, or a choice is missing.
        GatewayError: as ``carry_out`` says.
    """
    _require_last(migration)
    taken = strategy or Strategy(in_all=Choice.TAKE_TEMPLATE)
    undoing = begin(
        migration.agent, Direction.ROLLBACK, by=by, revision=revision, reverts=migration
    )
    with given_back(undoing):
        content = migration.decrypt()
        if ("remote" in content) != manager().upgrades_elsewhere:
            raise ResourceConflict(
                "Another service managed agents when this upgrade was done. Upgrade to the version "
                "that you want instead."
            )
        after = State.from_json(content["after"])
        document = existing(manager(), undoing.agent)
        plan = make_plan(
            old=after,
            new=State.from_json(content["before"]),
            now=state_of_agent(document, after.environment),
            strategy=taken,
        )
        _require_chosen(plan.conflicts)
        write_down(
            undoing,
            steps=plan.steps,
            to_version=migration.from_version,
            warnings=plan.warnings,
            content={
                **_content(plan, undoing.agent, document, content["origin_before"]),
                **(remotely.way_back(content["origin_before"]) if "remote" in content else {}),
            },
            strategy=_strategy_as_json(taken),
        )
    return carry_out(undoing)


def _prepare(migration: Migration, wish: Wish) -> None:
    agent = migration.agent
    proposal = propose(agent, wish)
    if wish.plan_hash and wish.plan_hash != proposal.hash:
        raise _changed(proposal)
    _require_chosen(proposal.plan.conflicts)
    upgraded = copy(agent)
    be_made_from(upgraded, proposal.blueprint)
    if proposal.ways:
        upgraded.built_from |= file_of_state(proposal.plan.base)
    write_down(
        migration,
        steps=proposal.plan.steps,
        to_version=proposal.blueprint.version,
        warnings=proposal.warnings,
        content=_content(proposal.plan, agent, dict(proposal.document), origin_of(upgraded)),
        strategy=_strategy_as_json(wish.strategy),
    )


def _prepare_remotely(migration: Migration, wish: Wish) -> None:
    agent, driver = migration.agent, manager()
    document = existing(driver, agent)
    environment = driver.environment(user_id=agent.user_id, agent_id=agent.agent_id)
    write_down(
        migration,
        steps=(),
        to_version="",
        warnings=(),
        content={
            "remote": remotely.body_of(agent, wish, is_dry_run=False),
            "before": state_of_agent(document, environment).as_json(),
            "snapshot": body_of(document),
            "origin_before": origin_of(agent),
        },
        strategy=_strategy_as_json(wish.strategy),
    )


def _content(
    plan: Plan, agent: Agent, document: dict[str, Any], origin_after: dict[str, Any]
) -> dict[str, Any]:
    return {
        "before": plan.before.as_json(),
        "after": plan.after.as_json(),
        "snapshot": body_of(document),
        "origin_before": origin_of(agent),
        "origin_after": origin_after,
    }


def _require_last(migration: Migration) -> None:
    last = Migration.objects.filter(
        agent=migration.agent_id, state=MigrationState.APPLIED, direction=Direction.UPGRADE
    ).first()
    if last != migration:
        raise ResourceConflict("Only the last upgrade of an agent can be rolled back, and once.")


def _require_chosen(conflicts: Iterable[Conflict]) -> None:
    errors = [{"pointer": one.pointer, "message": one.message} for one in conflicts]
    if errors:
        choices = " or ".join(Choice)
        raise ResourceConflict(
            f"There are conflicts, see errors. Send a strategy for each or for all: {choices}.",
            param=errors[0]["pointer"],
            errors=errors,
        )


def _changed(proposal: Proposal) -> ResourceConflict:
    lines = [step.as_line() for step in proposal.plan.steps]
    return ResourceConflict(
        "The agent, its template or your choices have changed since the plan was made: errors say "
        "what would be done now. If that is what you want, repeat with the plan_hash that stands "
        "there; dry_run shows values and conflicts.",
        param="/plan_hash",
        errors=[
            {"pointer": "/plan_hash", "message": f"is {proposal.hash} now"},
            *({"pointer": line["pointer"], "message": f"would {line['op']}"} for line in lines),
        ],
    )


def _strategy_as_json(strategy: Strategy) -> dict[str, Any]:
    return {"in_all": strategy.in_all, "by_pointer": dict(strategy.by_pointer)}
