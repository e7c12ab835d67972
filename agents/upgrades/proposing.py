"""What an upgrade would do to an agent now. Reads what there is to read, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from agents.drivers import manager
from agents.upgrades.merging import Strategy
from agents.upgrades.patching import operations_in
from agents.upgrades.plan import make_plan
from agents.upgrades.states import state_of_agent, state_of_file
from agents.variables import all_variables
from gateway_core.errors import FieldInvalid, ResourceConflict, ResourceNotFound
from templates_app import services as templates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agents.drivers.interface import AgentManager, Blueprint
    from agents.models import Agent
    from agents.upgrades.plan import Plan

NO_TEMPLATE: Final = "The agent was not made from a template that is known here."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants an agent to become.

    Attributes:
        target_version: a semantic version, or ``latest``.
        variables: in place of those that the agent has.
        is_forced: to any version, not only to a higher one.
        plan_hash: of the one plan that is agreed to; empty for any.
    """

    target_version: str = templates.LATEST
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    strategy: Strategy = field(default_factory=Strategy)
    is_forced: bool = False
    plan_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What would be done.

    Attributes:
        blueprint: what the agent would be made from.
        document: the agent in Letta.
        ways: those of the new version's ``migrations`` whose steps are taken.
        hash: of everything that would be done.
    """

    blueprint: Blueprint
    plan: Plan
    document: Mapping[str, Any] = field(repr=False)
    ways: tuple[Mapping[str, str], ...]
    warnings: tuple[str, ...]
    hash: str

    def as_json(self) -> dict[str, Any]:
        """Return what its owner may see of it."""
        plan = self.plan
        return {
            "target_version": self.blueprint.version,
            "plan": [step.as_line() for step in plan.steps],
            "diff": [change for step in plan.steps for change in step.differences()],
            "conflicts": [
                {"pointer": conflict.pointer, "message": conflict.message}
                for conflict in plan.conflicts
            ],
            "migrations": [dict(way) for way in self.ways],
            "warnings": list(self.warnings),
            "plan_hash": self.hash,
        }


def propose(agent: Agent, wish: Wish) -> Proposal:
    """Return what an upgrade would do.

    Raises:
        ResourceNotFound: the agent, its template or the version is gone.
        ResourceConflict: the agent was made from no template, or the version is not higher.
        FieldInvalid: the version asks for variables that the agent does not have, would show a
            secret of the agent's, or has a step that does not fit the agent.
        UpstreamError: Letta failed.
    """
    driver = manager()
    if not agent.template_id or not agent.built_from:
        raise ResourceConflict(NO_TEMPLATE)
    former = all_variables(agent)
    blueprint = driver.plan(
        user=agent.user,
        template_id=agent.template_id,
        version=wish.target_version,
        variables=wish.variables,
        former=former,
    )
    if not wish.is_forced:
        require_higher(agent.version, blueprint.version)
    _refuse_exposure(agent, blueprint, wish)
    document = existing(driver, agent)
    environment = driver.environment(user_id=agent.user_id, agent_id=agent.agent_id)
    made_from = blueprint.document or {}
    ways = templates.ways_from(made_from, agent.version)
    plan = make_plan(
        old=state_of_file(agent.built_from, environment),
        new=state_of_file(made_from, blueprint.environment),
        now=state_of_agent(document, environment),
        strategy=wish.strategy,
        operations=operations_in(made_from, ways),
    )
    context = (str(agent.pk), agent.version, blueprint.version, blueprint.checksum)
    return Proposal(
        blueprint=blueprint,
        plan=plan,
        document=document,
        ways=tuple(_ends(made_from["migrations"][way]) for way in ways),
        warnings=(*_warnings(agent, blueprint, has_ways=bool(ways)), *plan.warnings),
        hash=plan.hash(*context),
    )


def _refuse_exposure(agent: Agent, blueprint: Blueprint, wish: Wish) -> None:
    """Keep a secret from a version that would show it, in prompts and to whoever looks."""
    kept = blueprint.variables.keys() - wish.variables.keys()
    for name in sorted((kept & set(agent.secret_names)) - blueprint.secret_names):
        raise FieldInvalid(
            f"/variables/{name} was given as a secret and is none in version {blueprint.version}. "
            "Send a value that may be seen.",
            param=f"/variables/{name}",
            errors=[{"pointer": f"/variables/{name}", "message": "is no secret any more"}],
        )


def _ends(way: Mapping[str, Any]) -> dict[str, str]:
    return {"from": way["from"], "to": way["to"]}


def _warnings(agent: Agent, blueprint: Blueprint, *, has_ways: bool) -> Iterator[str]:
    if blueprint.is_deprecated:
        yield f"Version {blueprint.version} is deprecated."
    if (blueprint.document or {}).get("migrations") and not has_ways:
        yield f"No steps in /migrations lead on from {agent.version}: the versions are compared."


def existing(driver: AgentManager, agent: Agent) -> dict[str, Any]:
    """Return the agent in Letta.

    Raises:
        ResourceNotFound: it is gone.
    """
    document = driver.read(user_id=agent.user_id, agent_id=agent.agent_id)
    if document is None:
        raise ResourceNotFound
    return document


def require_higher(current: str, wanted: str) -> None:
    """Refuse to go back.

    Raises:
        ResourceConflict: the wanted version is not higher than the current one.
    """
    try:
        is_higher = (
            templates.parse_version(wanted).precedence > templates.parse_version(current).precedence
        )
    except ValueError:  # a remote AMS may number its versions in its own way
        is_higher = wanted != current
    if not is_higher:
        raise ResourceConflict(
            f"The agent is at version {current}, and {wanted} is not higher. Send force to go "
            "there all the same."
        )
