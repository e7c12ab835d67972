"""Upgrades that a remote AMS plans and carries out; the gateway keeps the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agents.blueprints import kept_of
from agents.drivers import manager
from agents.drivers.interface import Blueprint, after_effect
from agents.upgrades.merging import Choice
from agents.upgrades.models import Direction
from agents.upgrades.performing import perform
from agents.upgrades.plan import difference
from agents.upgrades.proposing import NO_TEMPLATE, existing
from agents.upgrades.states import State, state_of_agent
from agents.variables import all_variables
from gateway_core.errors import FieldInvalid, GatewayError, ResourceConflict, UpstreamAnswerInvalid
from templates_app.services import LATEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agents.models import Agent
    from agents.upgrades.models import Migration
    from agents.upgrades.proposing import Wish

_UNHEEDED: Final = "is not known to the service that manages agents here"
_DECIDES_ITSELF: Final = (
    "The service that manages agents here tells of no conflicts: it decides by itself what becomes "
    "of what the agent has learned."
)


def body_of(agent: Agent, wish: Wish, *, is_dry_run: bool) -> dict[str, Any]:
    """Return what an AMS is asked for. Whether it is a dry run is always said.

    Raises:
        ResourceConflict: the agent was made from no template.
        FieldInvalid: the AMS would not heed what was chosen.
    """
    if not agent.template_id:
        raise ResourceConflict(NO_TEMPLATE)
    target: dict[str, Any] = {"target_version": wish.target_version}
    if wish.target_version == LATEST:
        target = {"use_latest": True}
    more = {"variables": dict(wish.variables)} if wish.variables else {}
    return {**target, **more, **_choices(wish), "dry_run": is_dry_run}


def plan(agent: Agent, wish: Wish) -> dict[str, Any]:
    """Return the plan of an AMS for an agent, as the gateway's own are."""
    said = manager().upgrade(
        user_id=agent.user_id, agent_id=agent.agent_id, wish=body_of(agent, wish, is_dry_run=True)
    )
    said = said or {}
    notes = () if manager().takes_choices() else (_DECIDES_ITSELF,)
    return {
        "target_version": str(said.get("target_version") or ""),
        "plan": _lines(said.get("plan")),
        "diff": list(said.get("diff") or ()),
        "conflicts": list(said.get("conflicts") or ()),
        "warnings": [*(said.get("warnings") or ()), *notes],
        "plan_hash": str(said.get("plan_hash") or ""),
    }


def way_back(origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return what more is written down of a rollback than of one that the gateway does alone.

    An AMS goes back to the version first, so that it knows which one the agent has; what that
    leaves of the agent is brought to what the rollback says afterwards.
    """
    wish = {"target_version": origin["version"], "variables": origin["variables"]}
    if manager().takes_choices():
        wish |= {"strategy": Choice.TAKE_TEMPLATE, "force": True}
    return {"remote": {**wish, "dry_run": False}, "steps": []}


def carry_out(
    migration: Migration, content: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Have an AMS upgrade an agent, or take that back, once.

    Returns:
        What the agent is made from now, and Letta's document of it.

    Raises:
        GatewayError: it did not.
    """
    agent = migration.agent
    answer = manager().upgrade(
        user_id=agent.user_id,
        agent_id=agent.agent_id,
        wish=content["remote"],
        key=f"migration:{migration.pk}",
    )
    version = (answer or {}).get("new_version")
    if not isinstance(version, str) or not version:
        raise UpstreamAnswerInvalid
    with after_effect():
        if migration.direction == Direction.ROLLBACK:
            _bring_back(agent, State.from_json(content["after"]))
            return content["origin_after"], existing(manager(), agent)
        document, after = _state_now(agent)
        lines = _lines((answer or {}).get("plan"))
        migration.encrypt({**content, "after": after.as_json()})
        migration.touch(plan=lines, steps_done=len(lines), encrypted=migration.encrypted)
        return _origin(migration, content, version), document


def _bring_back(agent: Agent, wanted: State) -> None:
    _document, now = _state_now(agent)
    for step in difference(now, wanted):
        perform(step, agent=agent, driver=manager())


def _state_now(agent: Agent) -> tuple[dict[str, Any], State]:
    driver = manager()
    document = existing(driver, agent)
    environment = driver.environment(user_id=agent.user_id, agent_id=agent.agent_id)
    return document, state_of_agent(document, environment)


def _origin(migration: Migration, content: Mapping[str, Any], version: str) -> dict[str, Any]:
    agent = migration.agent
    made_from = _blueprint(agent, version, content["remote"].get("variables") or {})
    return {
        "template_version_id": None,
        "template_id": agent.template_id,
        "version": version,
        "checksum": made_from.checksum,
        "built_from": kept_of(made_from.document) if made_from.document else {},
        "variables": dict(made_from.variables),
        "secret_names": sorted(made_from.secret_names),
    }


def _blueprint(agent: Agent, version: str, given: Mapping[str, Any]) -> Blueprint:
    """Return what the agent is made from by now; whatever fails, the upgrade is done."""
    former = all_variables(agent)
    try:
        return manager().plan(
            user=agent.user,
            template_id=agent.template_id,
            version=version,
            variables=given,
            former=former,
        )
    except GatewayError:
        return Blueprint(
            template_id=agent.template_id,
            variables={**former, **given},
            secret_names=frozenset({*agent.secret_names, *given}),
        )


def _choices(wish: Wish) -> dict[str, Any]:
    """Return what was chosen; where nobody heeds it, silence would pass for consent."""
    said = {
        "strategy": wish.strategy.in_all,
        "strategies": dict(wish.strategy.by_pointer),
        "force": wish.is_forced,
        "plan_hash": wish.plan_hash,
    }
    chosen = {name: value for name, value in said.items() if value}
    if chosen and not manager().takes_choices():
        errors = [{"pointer": f"/{name}", "message": _UNHEEDED} for name in chosen]
        raise FieldInvalid(
            f"The service that manages agents here would not heed {', '.join(chosen)}. Leave that "
            "out, and it decides by itself.",
            param=errors[0]["pointer"],
            errors=errors,
        )
    return chosen


def _lines(plan: Any) -> list[dict[str, str]]:
    """Return an AMS's plan as the gateway's own are; the first AMS may write texts."""
    return [
        {"op": str(line.get("op") or "change"), "pointer": str(line.get("pointer") or "")}
        if isinstance(line, dict)
        else {"op": "change", "pointer": str(line)}
        for line in (plan if isinstance(plan, list) else ())
    ]
