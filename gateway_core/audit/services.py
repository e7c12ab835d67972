"""What other apps tell the audit trail."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Protocol

from gateway_core import context
from gateway_core.audit.events import CONTROL_ROUTE, Plane, encode
from gateway_core.audit.models import AuditEvent

if TYPE_CHECKING:
    from collections.abc import Mapping


class Actor(Protocol):
    """Whoever makes a change: a user's row."""

    pk: Any
    email: str


def record_change(
    *, actor: Actor | None, action: str, resource: str, facts: Mapping[str, Any] | None = None
) -> None:
    """Record a control-plane change in the caller's transaction: both happen, or neither.

    Args:
        actor: who made it, None for the gateway itself.
        action: noun and verb, as ``agent.create`` or ``virtual_key.rotate``.
        resource: type and id of what was changed, as ``agent:0b7c...``.
        facts: what else is worth knowing; values under sensitive names are not kept.
    """
    request = context.current.get()
    facts = deepcopy(dict(facts or {}))
    if request is not None:
        if "api_key_id" in request.facts:
            facts["api_key_id"] = request.facts["api_key_id"]
        request.facts.setdefault("resource", resource)  # which the path of what is new does not say
    event = {
        "plane": Plane.CONTROL,
        "action": action,
        "route": request.route if request else CONTROL_ROUTE,
        "method": request.method if request else "",
        "path": request.path if request else "",
        "user_id": actor.pk if actor else None,
        "user_email": actor.email if actor else "",
        "resource": resource,
        "client_ip": request.client_ip if request else "",
        "request_id": request.request_id if request else "",
        "trace_id": request.trace_id if request else "",
        "code": "",
        "bytes_in": 0,
        "bytes_out": 0,
        "facts": facts,
    }
    AuditEvent.objects.store_change(encode(event))
