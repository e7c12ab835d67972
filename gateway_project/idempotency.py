"""``Idempotency-Key`` on every POST of the control plane, whatever its view."""

from __future__ import annotations

import asyncio
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpResponse
from django.template.response import SimpleTemplateResponse
from django.utils.deprecation import MiddlewareMixin

from gateway_core import context
from gateway_core.errors import FIRST_SERVER_ERROR, Code
from gateway_core.idempotency import services
from gateway_core.idempotency.keys import HEADER, KeyedRequest, fingerprint, read_key
from gateway_core.idempotency.outcomes import REPLAYED_HEADER, Answer, Failure
from gateway_core.tasks import spawn
from gateway_project.problems import as_gateway_error, render
from gateway_project.throttling import count

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    Work = Callable[[], HttpResponseBase]

_FIRST_ERROR: Final = 400
# Of these nobody knows whether they came before our own database was changed or after it.
_UNCERTAIN: Final = frozenset({Code.GATEWAY_INTERNAL_ERROR, Code.GATEWAY_DATABASE_UNAVAILABLE})


class IdempotencyMiddleware(MiddlewareMixin):
    """Calls the view of a request that has a key, once.

    It calls it itself, so that the answer is kept even when the client has left meanwhile: Django
    gives up the request then, and the view's thread goes on to its end.
    """

    async def process_view(
        self, request: HttpRequest, view: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        """Answer a POST with a key to a view of the API; leave all others alone."""
        if request.method != "POST" or HEADER not in request.headers or not hasattr(view, "cls"):
            return None
        work = partial(view, request, *args, **kwargs)
        ask = partial(_caller, request, view, *args, **kwargs)
        return await asyncio.shield(spawn(sync_to_async(_answer)(request, ask, work)))


def _answer(request: HttpRequest, ask: Callable[[], Any], work: Work) -> HttpResponseBase:
    try:
        user = ask()
        if user is None:  # the view says what it thinks of that
            return work()
        count(user)
        found = services.reserve(
            _keyed(request, user.pk), lease_seconds=settings.IDEMPOTENCY_LEASE_SECONDS
        )
    except Exception as exc:
        error = as_gateway_error(exc)
        if error is None:
            raise
        return render(error)
    return _replay(found) if isinstance(found, Answer) else _carry(found, work)


def _caller(request: HttpRequest, view: Any, *args: Any, **kwargs: Any) -> Any:
    """Return whom the view would take the caller for, None for nobody; raises what it would.

    Whether they may is asked before a stored answer is given, too: its session may have ended.
    """
    asked = view.cls(**view.initkwargs)
    asked.action_map = getattr(view, "actions", None)
    asked.setup(request, *args, **kwargs)
    asked.request = asked.initialize_request(request, *args, **kwargs)
    if asked.request.user is not None:
        asked.check_permissions(asked.request)
    return asked.request.user


def _keyed(request: HttpRequest, user_id: UUID) -> KeyedRequest:
    """The bytes of the body are compared, whatever they mean: JSON, YAML and forms come here."""
    return KeyedRequest(
        user_id=user_id,
        route=f"POST {request.path_info}",
        key=read_key(request.headers[HEADER]),
        fingerprint=fingerprint(request.META.get("QUERY_STRING", "").encode(), _body(request)),
    )


def _body(request: HttpRequest) -> bytes:
    """Return the body and leave it for the view to read.

    As ``request.body`` does, but for its limit: ``bodies`` lets through none that is longer than
    this view takes.
    """
    body = request.read()
    request._body = body  # noqa: SLF001 - no public way leads past the limit
    request._stream = BytesIO(body)  # noqa: SLF001 - as above
    return body


def _carry(reservation: UUID, work: Work) -> HttpResponseBase:
    try:
        response = work()
        if isinstance(response, SimpleTemplateResponse):
            response.render()
    except Exception:
        failure = Failure(status=500, code=Code.GATEWAY_INTERNAL_ERROR, nothing_done=False)
        services.conclude(reservation, failure)
        raise
    services.conclude(reservation, _outcome(response))
    return response


def _outcome(response: HttpResponseBase) -> Answer | Failure:
    if response.status_code < _FIRST_ERROR:
        body = response.content if isinstance(response, HttpResponse) else None
        return Answer.of(response.status_code, response.items(), body)
    record = context.current.get()
    code = record.error_code if record is not None else ""
    is_certain = record is not None and not record.has_effect and code not in _UNCERTAIN
    return Failure(
        status=response.status_code,
        code=code,
        nothing_done=response.status_code < FIRST_SERVER_ERROR or is_certain,
    )


def _replay(found: Answer) -> HttpResponse:
    record = context.current.get()
    if record is not None:
        record.facts["replayed"] = True
    headers = {**dict(found.headers), REPLAYED_HEADER: "true"}
    return HttpResponse(found.body or b"", status=found.status, headers=headers)
