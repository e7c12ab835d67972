"""What staff may do: by the API it takes the same permissions of Django's as in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rest_framework.permissions import IsAdminUser

from gateway_core.errors import PolicyError

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

    from accounts.models import User


def may(user: User | None, permission: str) -> bool:
    """Say whether somebody is staff with a permission; None, the gateway itself, may everything.

    Args:
        permission: as Django names it, like ``app.change_model``. Superusers have all.
    """
    return user is None or (user.is_staff and user.has_perm(permission))


def require(user: User | None, permission: str, *, otherwise: str) -> None:
    """Refuse who ``may`` not.

    Args:
        otherwise: what users who are no staff are told.

    Raises:
        PolicyError: with the name of the permission, for staff.
    """
    if user is not None and not may(user, permission):
        raise PolicyError(_missing(permission) if user.is_staff else otherwise)


class Staff(IsAdminUser):
    """For views of staff alone."""

    message = "This is for staff. A superuser makes users staff in the admin."


class StaffWithPermission(Staff):
    """For views of staff who may do one thing: a subclass names the permission.

    Raises what ``require`` does.
    """

    permission: ClassVar[str]

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Let staff through who have it."""
        if not super().has_permission(request, view):
            return False
        if not request.user.has_perm(self.permission):
            raise PolicyError(_missing(self.permission))
        return True


def _missing(permission: str) -> str:
    return f"This takes the permission {permission}, which a superuser gives in the admin."
