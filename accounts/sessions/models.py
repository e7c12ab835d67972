"""The deny-list: sessions that have ended, and users who may not use the API for now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.tokens.reasons import BANNED, Reason, refuse, refuse_erased
from gateway_core.errors import AccountSuspended

if TYPE_CHECKING:
    from uuid import UUID

    from gateway_core.errors import GatewayError


class DenialReason(models.TextChoices):
    """Why somebody is denied; who lifts a denial goes by it."""

    STAFF = "staff", "decided by staff"
    SIGNED_OUT = "signed_out", "signed out"
    BANNED = "banned", "banned at Supabase"
    GONE = "gone", "deleted at Supabase"
    ERASED = "erased", "erased here"


class DenialQuerySet(models.QuerySet["Denial"]):
    """Denials, of which some have expired."""

    def in_force(self) -> Self:
        """Return those that count now."""
        return self.filter(Q(until=None) | Q(until__gt=timezone.now()))

    def expired(self) -> Self:
        """Return those that count no longer."""
        return self.filter(until__lte=timezone.now())

    def of_users(self) -> Self:
        """Return those of users, whatever their session."""
        return self.filter(session_id=None)

    def find(self, user_id: UUID, session_id: UUID | None = None) -> Denial | None:
        """Return what denies a user, or this session of theirs; a user's own comes first."""
        of_either = Q(session_id=None)
        if session_id is not None:
            of_either |= Q(session_id=session_id)
        denials = self.in_force().filter(of_either, user_id=user_id)
        return min(denials, key=lambda denial: denial.session_id is not None, default=None)


class Denial(models.Model):
    """One session of a user, or the user themselves, refused on the API with whatever token.

    Users are named by id alone: a denial outlives the user's row, or a token that is still good
    would make another one.
    """

    user_id = models.UUIDField("user id")
    session_id = models.UUIDField(
        "session id", null=True, blank=True, help_text="Empty: the user, in every session."
    )
    reason = models.CharField(
        max_length=16, choices=DenialReason.choices, default=DenialReason.STAFF
    )
    until = models.DateTimeField(null=True, blank=True, help_text="Empty: until it is lifted.")
    note = models.CharField(
        max_length=200,
        blank=True,
        default="",
        help_text="For other staff; an export of the user has it.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DenialQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        indexes = (
            models.Index(fields=("user_id",), name="accounts_denial_user"),
            models.Index(fields=("until",), name="accounts_denial_until"),
            models.Index(fields=("-created_at", "-id"), name="accounts_denial_created"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("user_id", "session_id"),
                condition=Q(session_id__isnull=False),
                name="accounts_one_denial_of_session",
                violation_error_message="This session is denied already.",
            ),
            models.UniqueConstraint(
                fields=("user_id", "reason"),
                condition=Q(session_id=None),
                name="accounts_one_denial_of_user",
            ),
        )

    def __str__(self) -> str:
        return f"session {self.session_id}" if self.session_id else f"user {self.user_id}"

    def is_in_force(self) -> bool:
        """Say whether it counts now."""
        return self.until is None or self.until > timezone.now()

    def as_error(self) -> GatewayError:
        """Return what whoever is denied is told."""
        if self.session_id is not None:
            return refuse(Reason.SESSION_ENDED)
        if self.reason == DenialReason.ERASED:
            return refuse_erased(self.until)
        if self.reason == DenialReason.GONE:
            return refuse(Reason.ACCOUNT_GONE)
        if self.reason == DenialReason.BANNED:
            return AccountSuspended(BANNED)
        if self.until is not None:
            return AccountSuspended(
                f"This account is suspended until {self.until:%Y-%m-%d %H:%M} UTC. Contact support."
            )
        return AccountSuspended()
