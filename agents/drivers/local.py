"""The gateway manages agents itself: templates in its own tables, agents in Letta."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from agents.blueprints import letta_body
from agents.drivers.interface import Blueprint, Made
from agents.drivers.letta import LettaAgents, in_words_of_template, named
from gateway_core.errors import ResourceNotFound
from letta_proxy import services as letta
from templates_app import services as templates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accounts.models import User
    from agents.drivers.interface import Order


class LocalManager(LettaAgents):
    """The default driver."""

    def plan(
        self,
        *,
        user: User,
        template_id: str,
        version: str,
        variables: Mapping[str, Any],
        former: Mapping[str, Any] | None = None,
    ) -> Blueprint:
        """Return what an agent would be made from: see ``AgentManager``."""
        row = templates.resolve_version(
            user=user,
            template_id=_uuid(template_id),
            version=version,
            allow_deprecated=former is not None,
        )
        known = templates.variable_names(row.document)
        still = {name: value for name, value in (former or {}).items() if name in known}
        filled = templates.fill_version(row, {**still, **variables})
        return Blueprint(
            template_id=str(row.template_id),
            template_name=row.template.name,
            version=row.version,
            checksum=row.checksum,
            version_row=row.pk,
            is_deprecated=bool(row.deprecated_at or row.template.deprecated_at),
            variables=filled.values,
            secret_names=templates.secret_names(row.document),
            document=filled.document,
        )

    def create(self, order: Order, blueprint: Blueprint) -> Made:
        """Make an agent from a blueprint: see ``AgentManager``."""
        body = {**letta_body(blueprint.document or {}), **named(order)}
        with in_words_of_template():
            document = letta.create_agent(
                user_id=order.user_id, body=body, tag=order.tag, secrets=blueprint.environment
            )
        return Made(document=document)

    def takes_choices(self) -> bool:
        """Nobody else has to heed them."""
        return True

    def upgrade(
        self,
        *,
        user_id: UUID,  # noqa: ARG002 - the gateway itself does it
        agent_id: str,  # noqa: ARG002 - as above
        wish: Mapping[str, Any],  # noqa: ARG002 - as above
        key: str = "",  # noqa: ARG002 - as above
    ) -> dict[str, Any] | None:
        """Leave it to the gateway: see ``AgentManager``."""
        return None

    def target_version(
        self,
        *,
        by: User | None,
        owner: User | None,  # noqa: ARG002 - who asks sees it, or is a command
        template_id: str,
        version: str,
    ) -> str:
        """Return the version that a fleet is to go to: see ``AgentManager``."""
        pk = _uuid(template_id)
        if by is None:
            return templates.any_version(template_id=pk, version=version).version
        row = templates.resolve_version(
            user=by, template_id=pk, version=version, allow_deprecated=True
        )
        return row.version

    def set_suspended(self, *, user_id: UUID, agent_id: str, is_suspended: bool) -> None:
        """Nobody else has to know."""

    def publish(self, *, user: User, content: bytes, media_type: str) -> dict[str, Any]:
        """Publish an Agent File: see ``AgentManager``."""
        version = templates.publish_version(
            place=templates.Place(by=user), content=content, media_type=media_type
        )
        return {
            "template_id": str(version.template_id),
            "version": version.version,
            "checksum": version.checksum,
            "is_latest": version.is_latest,
        }

    def validate(
        self,
        *,
        user: User,  # noqa: ARG002 - everybody may
        content: bytes,
        media_type: str,
    ) -> dict[str, Any]:
        """Look at an Agent File: see ``AgentManager``."""
        file_format, report = templates.validate_file(content, media_type)
        return {
            "format": file_format.value,
            "validation": {
                "valid": report.is_valid,
                "errors": [fault.as_dict() for fault in report.faults],
            },
        }

    def health(self) -> dict[str, Any]:
        """Return ``{status, checks}``: see ``AgentManager``."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return {
            "status": "ok",
            "checks": {"database": True, "letta_api_key": bool(settings.LETTA_API_KEY)},
        }


def _uuid(template_id: str) -> UUID:
    try:
        return UUID(template_id)
    except ValueError as exc:
        raise ResourceNotFound(templates.NO_TEMPLATE) from exc
