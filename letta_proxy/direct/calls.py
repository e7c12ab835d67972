"""One synchronous call to Letta, in the name of a gateway user."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.conf import settings

from gateway_core import context
from gateway_core.errors import ResourceNotFound, UpstreamUnreachable
from gateway_core.rest import RestClient
from letta_proxy import client
from letta_proxy.direct.waiting import wait_for
from letta_proxy.provisioning import letta_user_for, letta_user_if_any
from letta_proxy.translate import meaning

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from gateway_core.rest import Part


def call(  # noqa: PLR0913 - the parts of an HTTP request
    user_id: UUID,
    method: str,
    target: str,
    *,
    payload: Any = None,
    form: Mapping[str, Part] | None = None,
    params: Mapping[str, Any] | None = None,
) -> Any:
    """Return Letta's answer, None when it is empty.

    Raises:
        UpstreamUnreachable: nothing was sent.
        UpstreamTimeout, UpstreamInterrupted: nobody knows what became of it.
        GatewayError: what Letta answered.
    """
    if not settings.LETTA_BASE_URL:
        raise UpstreamUnreachable("No Letta server is configured.")
    letta_user_id = _letta_user(user_id, method)
    record = context.current.get()
    # Letta drops a connection after a failure of its own, and an idle one after 5 s, without a
    # word (measured): none is used twice.
    headers = {**client.credentials(letta_user_id), "connection": "close"}
    if record is not None:
        headers |= {"x-request-id": record.request_id, "traceparent": context.traceparent(record)}
    answer = _rest(settings.LETTA_BASE_URL).call(
        method, target, payload=payload, form=form, params=params, headers=headers
    )
    if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
        raise meaning(answer.status, answer.headers, answer.content)
    return answer.json() if answer.content else None


def letta_user_for_sync(user_id: UUID) -> str:
    """Return the Letta user that stands for a gateway user; see ``letta_user_for``."""
    return wait_for(letta_user_for, user_id)


def call_or_none(user_id: UUID, method: str, target: str, **parts: Any) -> Any:
    """Return Letta's answer, None when it has no such thing; raises as ``call`` does."""
    try:
        return call(user_id, method, target, **parts)
    except ResourceNotFound:
        return None


def _letta_user(user_id: UUID, method: str) -> str:
    """Return whose name a call is in. Reading changes nothing, nor the account if there is one."""
    known = letta_user_if_any(user_id) if method == "GET" else None
    return letta_user_for_sync(user_id) if known is None else known


@cache
def _rest(base_url: str) -> RestClient:
    return RestClient(
        base_url,
        connect_timeout=settings.UPSTREAM_CONNECT_TIMEOUT,
        read_timeout=settings.LETTA_QUICK_TIMEOUT,
        breaker=client.upstream().breaker,
    )
