"""Bodies that the gateway sends itself: by the same rules as those of callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway_core.errors import ResourceNotFound
from letta_proxy.catalogue import shapes
from letta_proxy.direct.waiting import wait_for
from letta_proxy.handles import require_models
from letta_proxy.ownership import owns_all
from letta_proxy.policy.bounds import refuse_unwieldy
from letta_proxy.policy.demands import Demands
from letta_proxy.reshape import blank
from letta_proxy.tools import require_allowed

if TYPE_CHECKING:
    from uuid import UUID

    from letta_proxy.catalogue.shapes import Answer
    from letta_proxy.policy.rules import Rule


def admitted(user_id: UUID, rule: Rule, body: Any) -> Any:
    """Return what of a body may go to Letta.

    Raises:
        FieldForbidden, FieldInvalid: a field may not or can't be so.
        ResourceNotFound: it names what is not the user's, or a model that they can't use.
    """
    refuse_unwieldy(body)
    demands = Demands()
    payload = rule.admit(body, "", demands)
    if demands.claims and not wait_for(owns_all, user_id, demands.claims):
        raise ResourceNotFound
    if demands.tools:
        wait_for(require_allowed, user_id, demands.tools)
    if demands.models:
        wait_for(require_models, user_id, demands.models)
    return payload


def shown(document: Any, answer: Answer = shapes.AGENT) -> Any:
    """Return an answer of Letta's without what no caller gets."""
    blank(answer, document, with_vectors=False)
    return document
