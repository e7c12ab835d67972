from __future__ import annotations

from typing import cast

from drf_spectacular.utils import extend_schema
from rest_framework.generics import RetrieveAPIView

from accounts.models import User
from accounts.serializers import MeSerializer


@extend_schema(summary="Who am I", tags=["me"])
class MeView(RetrieveAPIView[User]):
    """The signed-in user, as the gateway knows them."""

    serializer_class = MeSerializer

    def get_object(self) -> User:
        """Return the caller."""
        return cast("User", self.request.user)
