"""Upgrades that a remote AMS plans and carries out; the gateway keeps the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.drivers import manager
from agents.sealing import all_variables
from gateway_core.errors import UpstreamAnswerInvalid
from templates_app.services import LATEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agents.models import Agent
    from agents.upgrades.models import Migration
    from agents.upgrades.proposing import Wish


def body_of(wish: Wish, *, is_dry_run: bool) -> dict[str, Any]:
    """Return what an AMS is asked for. Whether it is a dry run is always said."""
    target: dict[str, Any] = {"target_version": wish.target_version}
    if wish.target_version == LATEST:
        target = {"use_latest": True}
    more = {"variables": dict(wish.variables)} if wish.variables else {}
    return {**target, **more, "dry_run": is_dry_run}


def plan(agent: Agent, wish: Wish) -> dict[str, Any] | None:
    """Return the plan of an AMS for an agent, None when the gateway makes it itself."""
    return manager().upgrade(
        user_id=agent.user_id, agent_id=agent.agent_id, wish=body_of(wish, is_dry_run=True)
    )


def carry_out(migration: Migration, content: Mapping[str, Any]) -> dict[str, Any]:
    """Have an AMS upgrade an agent, once, and return what the agent is made from now.

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
    migration.plan = _lines((answer or {}).get("plan"))
    variables = {**all_variables(agent), **(content["remote"].get("variables") or {})}
    return {
        "template_version_id": None,
        "template_id": agent.template_id,
        "version": version,
        "checksum": "",
        "built_from": {},
        "variables": variables,
        "secret_names": sorted({*agent.secret_names, *(content["remote"].get("variables") or {})}),
    }


def _lines(plan: Any) -> list[dict[str, str]]:
    """Return an AMS's plan as the gateway's own are; the first AMS may write texts."""
    return [
        {"op": str(line.get("op") or "change"), "pointer": str(line.get("pointer") or "")}
        if isinstance(line, dict)
        else {"op": "change", "pointer": str(line)}
        for line in (plan if isinstance(plan, list) else ())
    ]
