from __future__ import annotations

from typing import TYPE_CHECKING, cast

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.sessions import services
from accounts.tokens.bearer import bearer_token

if TYPE_CHECKING:
    from rest_framework.request import Request

    from accounts.models import User
    from accounts.principals.principal import Principal


class SignOutView(APIView):
    """The session that the caller's token is of."""

    @extend_schema(summary="Sign out", tags=["me"], request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """End this session at Supabase and here.

        Within a second every token of it is refused, and its streams and connections end. Other
        sessions of the user go on. Where Supabase does not answer, nothing has changed: repeat it.
        """
        principal = cast("Principal", request.auth)
        assert principal.session_id is not None  # noqa: S101 - only sign-ins get here
        services.sign_out(
            user=cast("User", request.user),
            session_id=principal.session_id,
            token=bearer_token(request.headers["authorization"].encode()),
        )
        return Response(status=204)
