"""The deny-list for staff: added to and taken from, never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from accounts.models import User
from accounts.sessions import services
from accounts.sessions.models import Denial

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet
    from django.http import HttpRequest

    Base = admin.ModelAdmin[Denial]
    FormBase = forms.ModelForm[Denial]
else:  # at run time not generic
    Base = admin.ModelAdmin
    FormBase = forms.ModelForm


class DenialForm(FormBase):
    """Whom to deny. Staff deny neither themselves nor, unless superusers, other staff."""

    by: User

    def clean_user_id(self) -> UUID:
        """Refuse whom this member of staff may not shut out."""
        user_id: UUID = self.cleaned_data["user_id"]
        if user_id == self.by.pk:
            raise forms.ValidationError("That is you.")
        is_staff = User.objects.filter(pk=user_id, is_staff=True).exists()
        if is_staff and not self.by.is_superuser:
            raise forms.ValidationError("Only a superuser shuts staff out.")
        return user_id

    def clean_until(self) -> datetime | None:
        """Refuse what would be over before it began."""
        until: datetime | None = self.cleaned_data["until"]
        if until is not None and until <= timezone.now():
            raise forms.ValidationError("That is over.")
        return until


@admin.register(Denial)
class DenialAdmin(Base):
    """Sessions and users that the API refuses, whatever their token or key.

    A denial is in force in every process within a second, for streams that are under way too.
    Deleting it lets the user in again; what Supabase says of bans comes back with ``sync_users``.
    """

    form = DenialForm
    list_display = ("__str__", "email", "reason", "until", "created_at")
    list_filter = ("reason", "created_at")
    search_fields = ("user_id",)
    search_help_text = "The whole e-mail address or id of the user, or the id of the session."
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    readonly_fields = ("email", "reason", "created_at")
    fieldsets = (
        (
            None,
            {
                "fields": ("user_id", "session_id", "until", "note"),
                "description": "To shut somebody out of this site as well, suspend the user.",
            },
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Denial | None = None) -> Any:
        """Show who and why of one that is there."""
        if obj is None:
            return super().get_fieldsets(request, obj)
        fields = ("user_id", "email", "session_id", "reason", "until", "note", "created_at")
        return ((None, {"fields": fields}),)

    def get_form(self, request: HttpRequest, obj: Denial | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Let the form know who fills it in."""
        form = super().get_form(request, obj, **kwargs)
        return type(form.__name__, (form,), {"by": cast("User", request.user)})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Denial]:
        """Bring the e-mail address along."""
        users = User.objects.filter(pk=OuterRef("user_id")).values("email")[:1]
        return super().get_queryset(request).annotate(user_email=Subquery(users))

    @admin.display(description="e-mail")
    def email(self, denial: Denial) -> str:
        """The address of the user, where the gateway knows them."""
        return getattr(denial, "user_email", None) or "-"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Denial], search_term: str
    ) -> tuple[QuerySet[Denial], bool]:
        """Exact matches only, each by an index."""
        del request
        term = search_term.strip()
        if not term:
            return queryset, False
        if "@" in term:
            users = User.objects.filter(email__in={term, term.lower()})
            return queryset.filter(user_id__in=users.values("pk")), False
        try:
            wanted = UUID(term)
        except ValueError:
            return queryset.none(), False
        return queryset.filter(Q(user_id=wanted) | Q(session_id=wanted)), False

    def has_delete_permission(self, request: HttpRequest, obj: Denial | None = None) -> bool:
        """Nobody lets themselves in."""
        is_own = obj is not None and obj.user_id == request.user.pk
        return super().has_delete_permission(request, obj) and not is_own

    def has_change_permission(self, request: HttpRequest, obj: Denial | None = None) -> bool:  # noqa: ARG002
        """Nobody: another denial takes its place."""
        return False

    def save_model(self, request: HttpRequest, obj: Denial, form: Any, change: bool) -> None:  # noqa: ARG002, FBT001
        """Deny, in every process."""
        by = cast("User", request.user)
        if obj.session_id is None:
            denial = services.deny_user(user_id=obj.user_id, until=obj.until, note=obj.note, by=by)
        else:
            denial = services.deny_session(
                session_id=obj.session_id,
                user_id=obj.user_id,
                until=obj.until,
                note=obj.note,
                by=by,
            )
        obj.pk = denial.pk

    def delete_model(self, request: HttpRequest, obj: Denial) -> None:
        """Lift one."""
        services.allow(denial=obj, by=cast("User", request.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Denial]) -> None:
        """Lift several."""
        for denial in queryset:
            services.allow(denial=denial, by=cast("User", request.user))
