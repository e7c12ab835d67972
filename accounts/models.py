"""Everybody the gateway knows: end users by their Supabase id, and staff."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Q

from accounts.holdings.models import ExportPart
from accounts.plans.models import BudgetPeriod, Plan, UserPlan
from accounts.sessions.models import Denial
from accounts.supabase.users import NAME_MAX_LENGTH
from accounts.tokens.claims import EMAIL_MAX_LENGTH

if TYPE_CHECKING:
    from accounts.tokens.claims import Claims

__all__ = ("BudgetPeriod", "Denial", "ExportPart", "Plan", "User", "UserManager", "UserPlan")


class UserManager(BaseUserManager["User"]):
    """Makes users: on first sight of a token, or staff by command."""

    def recognise(self, claims: Claims) -> User:
        """Return the user of a verified token, made now if this is the first sight of them.

        Safe when many requests of a new user come at once, in any number of processes. Takes over
        e-mail and anonymity when they differ and the token is newer than the one they came from: an
        older token stays valid beside it for a while.
        """
        seen = {"email": claims.email, "is_anonymous_user": claims.is_anonymous}
        issued_at = datetime.fromtimestamp(claims.issued_at, UTC)
        user = self.filter(pk=claims.user_id).first()
        if user is None:
            user = self.model(
                pk=claims.user_id, password=make_password(None), claims_issued_at=issued_at, **seen
            )
            self.bulk_create([user], ignore_conflicts=True)
            user = self.get(pk=claims.user_id)
        if any(getattr(user, name) != value for name, value in seen.items()):
            older = Q(claims_issued_at=None) | Q(claims_issued_at__lt=issued_at)
            if self.filter(older, pk=user.pk).update(claims_issued_at=issued_at, **seen):
                user.refresh_from_db()
        return user

    def create_user(self, username: str, password: str | None = None, **fields: Any) -> User:
        """Create somebody who signs in to the admin."""
        if not username:
            raise ValueError("Somebody who signs in to the admin needs a username.")
        user = self.model(username=self.model.normalize_username(username), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, username: str, password: str | None = None, **fields: Any) -> User:
        """Create staff who may do everything (``createsuperuser`` calls this)."""
        return self.create_user(username, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """An end user, whose id is the ``sub`` of Supabase Auth, or a member of staff.

    Nothing hangs on the e-mail: it changes, it may be empty or unverified, and it is not unique.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField(
        max_length=150,
        unique=True,
        null=True,
        blank=True,
        help_text="Only for people who sign in to this site.",
    )
    email = models.CharField("e-mail", max_length=EMAIL_MAX_LENGTH, blank=True, default="")
    display_name = models.CharField(
        max_length=NAME_MAX_LENGTH,
        blank=True,
        default="",
        help_text="How they call themselves at Supabase; they may write anything there.",
    )
    preferences = models.JSONField(
        default=dict, blank=True, help_text="The user's own, for applications; at most 4 KiB."
    )
    is_active = models.BooleanField(
        "active", default=True, help_text="Off: suspended, on the API and on this site."
    )
    is_staff = models.BooleanField(
        "staff", default=False, help_text="May sign in to this site, given a username and password."
    )
    is_anonymous_user = models.BooleanField(
        "anonymous", default=False, help_text="Signed in at Supabase without an account."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    claims_issued_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="As of when e-mail and anonymity are known, by the clock of Supabase Auth.",
    )

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"

    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        ordering = ("-created_at", "id")
        indexes = (
            models.Index(fields=("email",), name="accounts_user_email"),
            models.Index(fields=("-created_at", "id"), name="accounts_user_created"),
        )
        permissions = (("suspend_user", "Can suspend and resume users"),)

    def __str__(self) -> str:
        return self.username or self.email or str(self.pk)
