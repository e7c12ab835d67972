"""Actions before which Supabase is asked whether the session still lives.

A view declares them in one line::

    @sensitive("create", "rotate", "destroy")
    class ApiKeyViewSet(GenericViewSet): ...


    @sensitive()  # whatever changes something
    class ErasureView(APIView): ...

The permission is added to those of the class; a route that has permissions of its own, as
``@action`` may give it, names ``SensitiveAction`` among them. The data plane awaits
``require_live_session``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from channels.db import database_sync_to_async
from django.conf import settings
from rest_framework.permissions import SAFE_METHODS, BasePermission

from accounts.principals.principal import Principal
from accounts.sessions import liveness, services
from accounts.sessions.liveness import Session, SessionPolicy
from accounts.tokens.bearer import bearer_token
from gateway_core.errors import Code, TokenRejected

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from rest_framework.request import Request
    from rest_framework.views import APIView

ViewT = TypeVar("ViewT", bound="type[APIView]")


class SensitiveAction(BasePermission):
    """Stops sessions that have ended at Supabase, and ends them here.

    Raises what ``liveness.require_live`` does: where Supabase can't say, the action fails with 503.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Let through what is not sensitive, and sessions that live."""
        if not _is_sensitive(request, view):
            return True
        principal = request.auth
        if not isinstance(principal, Principal) or principal.session_id is None:
            return False
        if liveness.policy() is not SessionPolicy.OFF:
            _require_live(request, principal, principal.session_id)
        return True


def sensitive(*actions: str) -> Callable[[ViewT], ViewT]:
    """Mark actions of a view set, or methods of a view; without names all that change something.

    Raises:
        AttributeError: the view has no such action.
    """

    def mark(view: ViewT) -> ViewT:
        for name in actions:
            getattr(view, name)
        view.permission_classes = [*view.permission_classes, SensitiveAction]
        view.sensitive_actions = frozenset(actions)  # type: ignore[attr-defined]
        return view

    return mark


def _is_sensitive(request: Request, view: APIView) -> bool:
    named: frozenset[str] = getattr(view, "sensitive_actions", frozenset())
    if named:
        return (getattr(view, "action", None) or str(request.method).lower()) in named
    return request.method not in SAFE_METHODS


async def require_live_session(principal: Principal, authorization: bytes | None) -> None:
    """Stop a session that has ended at Supabase, and end it here. API keys have none: they pass.

    Raises what ``liveness.require_live`` does.
    """
    if principal.session_id is None or liveness.policy() is SessionPolicy.OFF:
        return
    session = _session(principal, principal.session_id, authorization)
    try:
        await liveness.arequire_live(session)
    except TokenRejected as refusal:
        if refusal.code is Code.CALLER_TOKEN_REVOKED:
            await _end_in_thread(session)
        raise


def _require_live(request: Request, principal: Principal, session_id: UUID) -> None:
    session = _session(principal, session_id, request.headers["authorization"].encode())
    try:
        liveness.require_live(session)
    except TokenRejected as refusal:
        if refusal.code is Code.CALLER_TOKEN_REVOKED:
            _end(session)
        raise


def _session(principal: Principal, session_id: UUID, authorization: bytes | None) -> Session:
    return Session(
        user_id=principal.user_id,
        session_id=session_id,
        expires_at=principal.expires_at - settings.TOKEN_LEEWAY_SECONDS,
        token=bearer_token(authorization),
    )


def _end(session: Session) -> None:
    services.has_ended(user_id=session.user_id, session_id=session.session_id, by=None)


# Not "thread sensitive": that would queue all of the process on one thread.
_end_in_thread = database_sync_to_async(_end, thread_sensitive=False)
