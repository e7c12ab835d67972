"""Agents come to be: row, Letta, row. What breaks off in between ``reconcile`` brings to an end."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from agents import entries
from agents.blueprints import blocks_in, kept_of
from agents.drivers import manager
from agents.drivers.interface import CopyOptions, Made, Order, reason_of
from agents.models import LIVING, Agent, Origin
from agents.variables import all_variables, set_variables
from gateway_core import context
from gateway_core.errors import (
    FieldInvalid,
    GatewayError,
    ResourceConflict,
    ResourceNotFound,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accounts.models import User
    from agents.drivers.interface import AgentManager, Blueprint
    from agents.snapshots import Snapshot

_UNFIT: Final = re.compile(r"[^\w '\-]+")
# After these Letta may still be at it.
_OPEN: Final = (UpstreamTimeout, UpstreamInterrupted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What somebody wants an agent to be called and marked with."""

    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A new agent: its row, and what Letta says of it."""

    agent: Agent
    document: Mapping[str, Any]


def create_agent(
    *, user: User, template_id: str, version: str, variables: Mapping[str, Any], traits: Traits
) -> Created:
    """Make an agent from a version of a template.

    Args:
        version: a semantic version, or ``latest``.

    Raises:
        ResourceNotFound, ResourceConflict, FieldInvalid: as ``AgentManager.plan`` says.
        FieldForbidden: the template has what agents may not have here.
        CountExhausted: the user has as many agents as they may.
        UpstreamError: Letta or AMS failed.
    """
    driver = manager()
    blueprint = driver.plan(
        user=user, template_id=template_id, version=version, variables=variables
    )
    row = _new_row(user, Origin.TEMPLATE, traits, default=blueprint.template_name)
    be_made_from(row, blueprint)
    return _make(row, driver, lambda order: driver.create(order, blueprint), is_whole=True)


def clone_agent(
    *, source: Agent, user: User, traits: Traits, with_memory: bool, with_messages: bool
) -> Created:
    """Make an agent like another one of the user's.

    Args:
        with_memory: with its blocks and passages; else with those that it began with.
        with_messages: with the messages in its context.

    Raises:
        ResourceConflict: the source is not in a state to be copied.
        AgentSuspended: staff have suspended it.
        CountExhausted, UpstreamError: as ``create_agent``.
    """
    _require_living(source)
    source.require_open_to(user)
    driver = manager()
    if driver.read(user_id=user.pk, agent_id=source.agent_id) is None:
        raise ResourceNotFound
    row = _new_row(user, Origin.CLONE, _like(source, traits), default=f"{source.name} copy")
    _be_made_like(row, source)
    options = CopyOptions(
        with_memory=with_memory,
        with_messages=with_messages,
        initial_blocks=tuple(blocks_in(source.built_from)),
    )
    copy = partial(driver.copy, source_id=source.agent_id, options=options)
    return _make(row, driver, copy, is_whole=False, action="clone")


def import_agent(  # noqa: PLR0913 - what an export file holds, and what is said beside it
    *,
    user: User,
    snapshot: Snapshot,
    traits: Traits,
    template_id: str = "",
    version: str = "",
    variables: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
) -> Created:
    """Make an agent from an export file.

    Args:
        template_id, version: what it was made from. It stays so when the user sees that version,
            deprecated or not, and is forgotten with the file's variables otherwise.
        given: over the file's variables. They are never forgotten.

    Raises:
        FieldForbidden, FieldInvalid: the file has what agents may not have here, variables don't
            fit, or those that are given would have no effect.
        CountExhausted, UpstreamError: as ``create_agent``.
    """
    driver = manager()
    row = _new_row(user, Origin.IMPORT, traits, default=str(snapshot.body.get("name") or ""))
    filled = {**(variables or {}), **(given or {})}
    blueprint = _plan_or_none(driver, user, template_id, version, filled) if template_id else None
    if given and (blueprint is None or blueprint.document is None):
        raise _without_effect(given)
    if blueprint is not None:
        be_made_from(row, blueprint)
    environment = blueprint.environment if blueprint is not None else {}
    restore = partial(driver.restore, snapshot=snapshot, environment=environment)
    return _make(row, driver, restore, is_whole=False, action="import")


def _plan_or_none(
    driver: AgentManager, user: User, template_id: str, version: str, variables: Mapping[str, Any]
) -> Blueprint | None:
    try:
        return driver.plan(
            user=user, template_id=template_id, version=version, variables=variables, former={}
        )
    except ResourceNotFound:
        return None


def _without_effect(given: Mapping[str, Any]) -> FieldInvalid:
    errors = [
        {"pointer": f"/variables/{name}", "message": "would have no effect"} for name in given
    ]
    return FieldInvalid(
        f"{errors[0]['pointer']} would have no effect: the file names no version of a template "
        "that you can see and that is shown here. Leave variables out, and the agent's tools get "
        "none.",
        param=errors[0]["pointer"],
        errors=errors,
    )


def _make(
    row: Agent,
    driver: AgentManager,
    make: Callable[[Order], Made],
    *,
    is_whole: bool,
    action: str = "create",
) -> Created:
    """Enter the row, make the agent, complete the row.

    Args:
        is_whole: an agent with the tag is one that lacks nothing.
    """
    entries.enter(row)
    try:
        made = make(_order(row))
    except GatewayError as error:
        made = _after_failure(row, driver, error, is_whole=is_whole)
    try:
        agent = entries.complete(row, made, by=row.user, action=action)
    except ResourceConflict:
        driver.delete(user_id=row.user_id, agent_id=made.document["id"])
        raise
    return Created(agent=agent, document=made.document)


def _after_failure(
    row: Agent, driver: AgentManager, error: GatewayError, *, is_whole: bool
) -> Made:
    """Return the agent that was made all the same, or leave nothing of it and raise the error."""
    if isinstance(error, UpstreamUnreachable) or not isinstance(error, UpstreamError):
        _give_up(row)
        raise error
    try:
        found = driver.find(user_id=row.user_id, tag=row.tag)
        document = None
        if is_whole and found:
            document = driver.receive(user_id=row.user_id, agent_id=found[0].agent_id)
        if document is not None:
            return Made(document=document)
        for agent in found:
            driver.delete(user_id=row.user_id, agent_id=agent.agent_id)
    except GatewayError as another:
        entries.note_error(row, error.detail)
        raise error from another
    if isinstance(error, _OPEN) and not found:
        entries.note_error(row, error.detail)
        raise error
    _give_up(row)
    raise reason_of(error)


def _give_up(row: Agent) -> None:
    entries.drop(row)
    context.nothing_remains()


def _order(row: Agent) -> Order:
    return Order(
        user_id=row.user_id,
        tag=row.tag,
        key=row.tag,
        name=row.name,
        description=row.description,
        tags=tuple(row.tags),
        metadata=row.metadata,
    )


def _new_row(user: User, origin: Origin, traits: Traits, *, default: str) -> Agent:
    return Agent(
        user=user,
        origin=origin,
        name=traits.name or _UNFIT.sub("-", default)[:100] or "agent",
        description=traits.description,
        tags=list(traits.tags),
        metadata=dict(traits.metadata),
    )


def be_made_from(row: Agent, blueprint: Blueprint) -> None:
    """Have a row, in memory, say that its agent is made from a blueprint."""
    row.template_version_id = blueprint.version_row
    row.template_id, row.version = blueprint.template_id, blueprint.version
    row.checksum = blueprint.checksum
    if blueprint.document is not None:
        row.built_from = kept_of(blueprint.document)
    set_variables(row, blueprint.variables, blueprint.secret_names)


def _be_made_like(row: Agent, source: Agent) -> None:
    row.template_version_id = source.template_version_id
    row.template_id, row.version = source.template_id, source.version
    row.checksum, row.built_from = source.checksum, source.built_from
    set_variables(row, all_variables(source), frozenset(source.secret_names))


def _like(source: Agent, traits: Traits) -> Traits:
    return Traits(
        name=traits.name,
        description=traits.description or source.description,
        tags=traits.tags or tuple(source.tags),
        metadata=traits.metadata or source.metadata,
    )


def _require_living(source: Agent) -> None:
    if source.status not in LIVING:
        raise ResourceConflict(f"The agent is {source.status}. This can't be done to it now.")
