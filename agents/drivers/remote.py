"""A remote AMS manages agents; the gateway keeps their rows, owners and quotas."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from agents.blueprints import letta_body
from agents.drivers.ams import AmsClient, path
from agents.drivers.interface import Blueprint, Made, after_effect
from agents.drivers.letta import LettaAgents, in_words_of_template, named
from gateway_core import context
from gateway_core.errors import (
    FieldInvalid,
    OperationNotOffered,
    ResourceConflict,
    ResourceNotFound,
    UpstreamAnswerInvalid,
    UpstreamFailed,
)
from letta_proxy import services as letta
from templates_app import services as templates

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from accounts.models import User
    from agents.drivers.interface import CopyOptions, Order

# What an AMS may say in /version that it can do.
TEMPLATES: Final = "templates"
CLONE: Final = "agents.clone"
UPDATE: Final = "agents.update"
SUSPEND: Final = "agents.suspend"
DELETE: Final = "agents.delete"
CHOICES: Final = "agents.upgrade"

_UPDATED: Final = ("name", "description", "tags", "metadata")


class _NotThere(Exception):
    """The AMS can't, or does not know the agent."""


class RemoteManager(LettaAgents):
    """The driver for ``AMS_BASE_URL``. What an AMS can't do is done in Letta, where agents live."""

    upgrades_elsewhere = True

    def __init__(self, base_url: str) -> None:
        self._ams = AmsClient(base_url)

    def plan(
        self,
        *,
        user: User,
        template_id: str,
        version: str,
        variables: Mapping[str, Any],
        former: Mapping[str, Any] | None = None,
    ) -> Blueprint:
        """Return what an agent would be made from: see ``AgentManager``.

        The old dialect shows no templates: then all variables count as secret, and whether they fit
        only the making of an agent tells.
        """
        if not self._can(TEMPLATES):
            untold = {**(former or {}), **variables}
            return Blueprint(
                template_id=template_id,
                version="" if version == templates.LATEST else version,
                variables=untold,
                secret_names=frozenset(untold),
            )
        template = self.template(user=user, template_id=template_id)
        if not version:
            raise ResourceNotFound
        wanted = _latest_of(template) if version == templates.LATEST else version
        found = self.version(user=user, template_id=template_id, version=wanted)
        if found.get("deprecated_at") and former is None:
            raise ResourceConflict(
                f"Version {wanted} is deprecated. No more agents are made from it."
            )
        known = templates.variable_names(found["agent_file"])
        still = {name: value for name, value in (former or {}).items() if name in known}
        filled = templates.fill_document(found["agent_file"], {**still, **variables})
        return Blueprint(
            template_id=template_id,
            template_name=str(template.get("name") or ""),
            version=wanted,
            checksum=str(found.get("checksum") or ""),
            variables=filled.values,
            secret_names=templates.secret_names(found["agent_file"]),
            document=filled.document,
        )

    def create(self, order: Order, blueprint: Blueprint) -> Made:
        """Make an agent from a blueprint: see ``AgentManager``."""
        payload: dict[str, Any] = {
            "template_id": blueprint.template_id,
            "variables": dict(blueprint.variables),
            "agent_name": order.name,
        }
        if blueprint.version:
            payload["version"] = blueprint.version
        else:
            payload["use_latest"] = True
        is_old = self._ams.dialect().is_old
        if not is_old:
            payload |= _marks(order)
        if blueprint.document is not None:
            body = {**letta_body(blueprint.document), **named(order)}
            with in_words_of_template():
                letta.check_agent(user_id=order.user_id, body=body)
        answer = self._ask("POST", "/agents/create", order.user_id, payload, order.key)
        with after_effect():
            agent_id = _id_of(answer)
            if is_old:
                letta.change_agent(
                    user_id=order.user_id, agent_id=agent_id, body=named(order), tag=order.tag
                )
            document = self._received(order.user_id, agent_id)
        return Made(document=document, checksum=str(answer.get("template_checksum") or ""))

    def copy(self, order: Order, source_id: str, options: CopyOptions) -> Made:
        """Make an agent like another one: see ``AgentManager``."""
        try:
            return self._clone(order, source_id, options)
        except _NotThere:
            return super().copy(order, source_id, options)

    def _clone(self, order: Order, source_id: str, options: CopyOptions) -> Made:
        if not self._can(CLONE):
            raise _NotThere
        payload = {
            "agent_name": order.name,
            "include_memory": options.with_memory,
            "include_messages": options.with_messages,
            **_marks(order),
        }
        where = path("agents", source_id, "clone")
        try:
            answer = self._ask("POST", where, order.user_id, payload, order.key)
        except ResourceNotFound as exc:  # it was made with Letta's own API, or from a file
            raise _NotThere from exc
        except UpstreamFailed as exc:
            raise UpstreamFailed from letta.refusal_behind(exc, order.user_id)
        with after_effect():
            agent_id = _id_of(answer)
            document = self._received(order.user_id, agent_id)
            letta.note_belongings(user_id=order.user_id, agent_id=agent_id)
        return Made(document=document)

    def apply(  # noqa: PLR0913 - the parts of a change
        self,
        *,
        user_id: UUID,
        agent_id: str,
        tag: str,
        body: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Bring an agent to what a body says, and tell the AMS of what it lists."""
        changes = {name: body[name] for name in _UPDATED if name in body}
        if changes and self._can(UPDATE):
            with suppress(ResourceNotFound):  # it knows those alone that it has made
                self._ams.call("PATCH", path("agents", agent_id), user_id=user_id, payload=changes)
        return super().apply(
            user_id=user_id,
            agent_id=agent_id,
            tag=tag,
            body=body,
            environment=environment,
            document=document,
        )

    def takes_choices(self) -> bool:
        """Say whether the AMS heeds strategies, force and plan hashes."""
        return self._can(CHOICES)

    def upgrade(
        self, *, user_id: UUID, agent_id: str, wish: Mapping[str, Any], key: str = ""
    ) -> dict[str, Any] | None:
        """Have the AMS upgrade an agent: see ``AgentManager``."""
        where = path("agents", agent_id, "upgrade")
        answer = self._ask("POST", where, user_id, dict(wish), key)
        if not wish["dry_run"]:
            with after_effect():  # blocks that it has added are the user's
                letta.note_belongings(user_id=user_id, agent_id=agent_id)
        return answer

    def set_suspended(self, *, user_id: UUID, agent_id: str, is_suspended: bool) -> None:
        """Tell the AMS: see ``AgentManager``."""
        if self._can(SUSPEND):
            verb = "suspend" if is_suspended else "resume"
            with suppress(ResourceNotFound):
                self._ams.call("POST", path("agents", agent_id, verb), user_id=user_id)

    def delete(self, *, user_id: UUID, agent_id: str) -> None:
        """Delete an agent there, and then what is left of it in Letta: see ``AgentManager``."""
        if self._can(DELETE):
            letta.note_belongings(user_id=user_id, agent_id=agent_id)
            with suppress(ResourceNotFound):
                self._ams.call("DELETE", path("agents", agent_id), user_id=user_id)
            with after_effect():
                super().delete(user_id=user_id, agent_id=agent_id)
        else:
            super().delete(user_id=user_id, agent_id=agent_id)

    def template(self, *, user: User, template_id: str) -> dict[str, Any]:
        """Describe a template: see ``templates_app.elsewhere.Keeper``."""
        self._require_shown()
        return self._ask("GET", path("templates", template_id), user.pk)

    def version(self, *, user: User, template_id: str, version: str) -> dict[str, Any]:
        """Return a version of a template: see ``templates_app.elsewhere.Keeper``."""
        self._require_shown()
        if version == templates.LATEST:
            version = _latest_of(self.template(user=user, template_id=template_id))
        return self._ask("GET", path("templates", template_id, "versions", version), user.pk)

    def target_version(
        self,
        *,
        by: User | None,  # noqa: ARG002 - an AMS does not know who may what here
        owner: User | None,
        template_id: str,
        version: str,
    ) -> str:
        """Return the version that a fleet is to go to: see ``AgentManager``."""
        if owner is None:
            raise ResourceNotFound("No agent here was made from this template. Check its id.")
        if self._can(TEMPLATES):
            told = self.version(user=owner, template_id=template_id, version=version)
            return str(told.get("version") or "")
        if version == templates.LATEST:
            raise FieldInvalid(
                "The service that manages agents here does not tell which version is the latest. "
                "Name one.",
                param="/target_version",
            )
        return version

    def publish(self, *, user: User, content: bytes, media_type: str) -> dict[str, Any]:
        """Publish an Agent File: see ``AgentManager``."""
        key = f"publish:{context.new_request_id()}"
        return self._file("/templates/publish", user, content, media_type, key)

    def validate(self, *, user: User, content: bytes, media_type: str) -> dict[str, Any]:
        """Look at an Agent File: see ``AgentManager``."""
        return self._file("/templates/validate", user, content, media_type)

    def health(self) -> dict[str, Any]:
        """Return ``{status, checks}``: see ``AgentManager``."""
        return _object(self._ams.call("GET", "/health"))

    def _can(self, capability: str) -> bool:
        return capability in self._ams.dialect().capabilities

    def _ask(
        self, method: str, where: str, user_id: UUID, payload: Any = None, key: str = ""
    ) -> dict[str, Any]:
        return _object(self._ams.call(method, where, user_id=user_id, payload=payload, key=key))

    def _require_shown(self) -> None:
        if not self._can(TEMPLATES):
            raise OperationNotOffered("The service that keeps templates here shows none.")

    def _file(
        self, where: str, user: User, content: bytes, media_type: str, key: str = ""
    ) -> dict[str, Any]:
        file = (content, media_type or "application/octet-stream")
        return _object(self._ams.call("POST", where, user_id=user.pk, content=file, key=key))

    def _received(self, user_id: UUID, agent_id: str) -> dict[str, Any]:
        document = self.receive(user_id=user_id, agent_id=agent_id)
        if document is None:
            raise UpstreamAnswerInvalid(
                "AMS has made an agent that the gateway does not find in Letta. Contact support."
            )
        return document


def _marks(order: Order) -> dict[str, Any]:
    return {
        "description": order.description,
        "tags": [order.tag, *order.tags],
        "metadata": dict(order.metadata),
    }


def _latest_of(template: Mapping[str, Any]) -> str:
    latest = template.get("latest_version")
    if not isinstance(latest, str) or not latest:
        raise ResourceNotFound("All versions of this template are deprecated.")
    return latest


def _id_of(answer: Mapping[str, Any]) -> str:
    agent = answer.get("agent")
    agent_id = agent.get("id") if isinstance(agent, dict) else None
    if not isinstance(agent_id, str) or not agent_id:
        raise UpstreamAnswerInvalid
    return agent_id


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise UpstreamAnswerInvalid
    return answer
