from __future__ import annotations

from typing import TYPE_CHECKING, cast

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import RetrieveUpdateAPIView
from rest_framework.response import Response

from accounts.holdings.erasure import erase_user
from accounts.holdings.serializers import ErasureSerializer
from accounts.models import User
from accounts.serializers import MeSerializer
from accounts.sessions.sensitive import sensitive

if TYPE_CHECKING:
    from rest_framework.request import Request


@sensitive("delete")
@extend_schema_view(
    get=extend_schema(summary="Who am I", tags=["me"]),
    patch=extend_schema(summary="Change what is mine to change", tags=["me"]),
)
class MeView(RetrieveUpdateAPIView[User]):
    """The signed-in user, as the gateway knows them."""

    serializer_class = MeSerializer
    http_method_names = ("get", "head", "options", "patch", "delete")

    def get_object(self) -> User:
        """Return the caller."""
        return cast("User", self.request.user)

    @extend_schema(
        summary="Erase me", tags=["me"], request=None, responses={202: ErasureSerializer}
    )
    def delete(self, request: Request) -> Response:
        """Erase the caller here and in Letta and LiteLLM: agents, keys, usage, everything.

        Within a second no token or key of theirs is good any more. The audit trail keeps what was
        done under a pseudonym. There is no way back.

        What has come of it is told at the answer's `receipt`, an address that needs no token.
        """
        user = cast("User", request.user)
        answer = ErasureSerializer(erase_user(user_id=user.pk, by=user)).data
        return Response(answer, status=202, headers={"Location": answer["receipt"]})
