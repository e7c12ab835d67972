"""Agents as files: all of an agent but secrets, to be kept or taken elsewhere.

A file is data. An import makes the agent from it under the rules of any creation, so it makes no
difference who wrote the file; the checksum only tells that nothing got lost on the way.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import orjson
from django.utils import timezone

from agents.drivers import manager
from agents.making import Created, Traits, import_agent
from agents.snapshots import Snapshot
from gateway_core.errors import FieldInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accounts.models import User
    from agents.models import Agent

FORMAT: Final = "gateway-agent"
FORMAT_VERSION: Final = 1


def export_agent(*, agent: Agent, by: User, with_messages: bool) -> dict[str, Any]:
    """Return the file of an agent.

    Raises:
        AgentSuspended: it is its owner's who wants it, and staff have suspended it.
        ResourceNotFound: Letta doesn't have it.
        UpstreamError: Letta failed.
    """
    agent.require_open_to(by)
    snapshot = manager().snapshot(
        user_id=agent.user_id, agent_id=agent.agent_id, with_messages=with_messages
    )
    content = {
        "body": dict(snapshot.body),
        "template": agent.template,
        "variables": agent.variables,
        "passages": [dict(passage) for passage in snapshot.passages],
        "messages": [dict(message) for message in snapshot.messages],
    }
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "exported_at": timezone.now().isoformat(),
        "agent": content,
        "checksum": checksum(content),
    }


def import_file(
    *,
    user: User,
    file: Mapping[str, Any],
    traits: Traits,
    variables: Mapping[str, Any] | None = None,
) -> Created:
    """Make an agent from a file.

    Args:
        variables: over those of the file; they take effect or are refused.

    Raises:
        FieldInvalid: the checksum is another file's, something in it can't be, or variables would
            have no effect.
        FieldForbidden: it has what agents may not have here.
        CountExhausted, UpstreamError: as ``create_agent``.
    """
    content = file["agent"]
    if file.get("checksum", checksum(content)) != checksum(content):
        raise FieldInvalid(
            "/file/checksum is not that of the agent in the file. Leave it out if you changed it.",
            param="/file/checksum",
            errors=[{"pointer": "/file/checksum", "message": "is not that of the agent"}],
        )
    template = content.get("template") or {}
    snapshot = Snapshot(
        body=content["body"],
        passages=tuple(content.get("passages") or ()),
        messages=tuple(content.get("messages") or ()),
    )
    return import_agent(
        user=user,
        snapshot=snapshot,
        traits=traits,
        template_id=template.get("id", ""),
        version=template.get("version", ""),
        variables=content.get("variables"),
        given=variables,
    )


def checksum(content: Any) -> str:
    """Return the SHA-256 of a value as JSON with its members in order, in hexadecimal."""
    text = orjson.dumps(_plain(content), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


def _plain(value: Any) -> Any:
    """Return a value with numbers as JavaScript writes them: 1.0 and 1 are the same."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value
