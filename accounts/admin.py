from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as StaffAdmin
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from accounts import services
from accounts.models import User
from accounts.plans import admin as plans
from accounts.plans.services import save_user_plan
from accounts.sessions import admin as sessions_admin  # noqa: F401 - it registers itself
from accounts.sessions.models import Denial
from gateway_core.admin import confirmation
from gateway_core.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    Base = StaffAdmin[User]
else:
    Base = StaffAdmin  # at run time not generic


@admin.register(User)
class UserAdmin(Base):
    """End users to look at and suspend; staff, which only superusers add and change.

    End users come from Supabase, are never added here, and leave by erasure, not by deletion.
    """

    form: type[forms.ModelForm[User]] = forms.ModelForm
    list_display = ("__str__", "id", "email", "is_active", "is_staff", "created_at")
    list_filter = ("is_active", "is_staff", "is_anonymous_user", "created_at")
    ordering = ("-created_at", "id")
    search_fields = ("email",)
    search_help_text = "The whole e-mail address, user id or username."
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = ("suspend", "resume")
    readonly_fields = (
        "id",
        "display_name",
        "is_active",
        "denials",
        "is_anonymous_user",
        "created_at",
        "last_login",
        "change_password",
    )
    fieldsets = (
        (None, {"fields": ("id", "email", "display_name", "is_anonymous_user", "created_at")}),
        ("Access", {"fields": ("is_active", "denials")}),
        ("Access to this site", {"fields": ("username", "change_password", "last_login")}),
        ("Permissions", {"fields": ("is_staff", "is_superuser", "groups", "user_permissions")}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever adds staff could make themselves a superuser."""
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:  # noqa: ARG002
        """Whoever changes staff, or a password, could make themselves a superuser."""
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:  # noqa: ARG002
        """Nobody: what other systems hold of a user would stay behind."""
        return False

    def has_suspend_permission(self, request: HttpRequest) -> bool:
        """Say whether the suspend and resume actions are offered."""
        return request.user.has_perm("accounts.suspend_user")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """An end user's e-mail comes from their tokens."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return (*fields, "email") if obj is not None and obj.claims_issued_at else fields

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        """Exact matches only, each by an index."""
        del request
        term = search_term.strip()
        if not term:
            return queryset, False
        if "@" in term:
            return queryset.filter(email__in={term, term.lower()}), False
        try:
            user_id = UUID(term)
        except ValueError:
            return queryset.filter(username=term), False
        return queryset.filter(pk=user_id), False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:  # noqa: FBT001
        """Whoever is added here is staff."""
        obj.is_staff = obj.is_staff or not change
        super().save_model(request, obj, form, change)

    def get_inlines(self, _request: HttpRequest, obj: User | None) -> tuple[Any, ...]:
        """Somebody who is being added has no plan yet."""
        return (plans.UserPlanInline,) if obj else ()

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:  # noqa: ARG002, FBT001
        """Save the user's plan with an audit event."""
        for user_plan in formset.save(commit=False):
            save_user_plan(user_plan=user_plan, by=cast("User", request.user))

    @admin.display(description="deny-list")
    def denials(self, obj: User) -> SafeString | str:
        """What keeps this user from the API besides a suspension."""
        found = Denial.objects.in_force().filter(user_id=obj.pk)
        rows = (
            (reverse("admin:accounts_denial_change", args=[one.pk]), one, one.get_reason_display())
            for one in found
        )
        return format_html_join("", '<div><a href="{}">{}</a>: {}</div>', rows) or "nothing"

    @admin.display(description="password")
    def change_password(self, obj: User) -> SafeString | str:
        """A link, and never the hash."""
        if not obj.username:
            return "signs in at Supabase"
        return format_html('<a href="{}">Change password</a>', "../password/")

    @admin.action(permissions=["suspend"], description="Suspend selected users")
    def suspend(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        """Shut users out, after a confirmation page."""
        return self._confirmed(request, queryset, "suspend", services.suspend_user)

    @admin.action(permissions=["suspend"], description="Resume selected users")
    def resume(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        """Let suspended users in again, after a confirmation page."""
        return self._confirmed(request, queryset, "resume", services.resume_user)

    def _confirmed(
        self,
        request: HttpRequest,
        queryset: QuerySet[User],
        action: str,
        change: Callable[..., bool],
    ) -> HttpResponse | None:
        staff = cast("User", request.user)
        users = queryset.exclude(pk=staff.pk)
        if not staff.is_superuser:
            users = users.exclude(is_staff=True)
        if not request.POST.get("post"):
            return self._ask(request, users, action)
        changed, untold = 0, 0
        for user in users:
            if change(user_id=user.pk, by=staff):
                self.log_change(request, user, f"Action: {action}")
                changed += 1
            try:
                services.tell_supabase(user_id=user.pk, is_suspended=action == "suspend", by=staff)
            except UpstreamError:
                untold += 1
        self.message_user(request, f"{changed} of {queryset.count()} changed.", messages.SUCCESS)
        if untold:
            text = f"Supabase could not be told of {untold}. Repeat the action to try again."
            self.message_user(request, text, messages.WARNING)
        return None

    def _ask(self, request: HttpRequest, users: QuerySet[User], action: str) -> HttpResponse:
        return confirmation(
            self,
            request,
            users,
            template="admin/accounts/user/confirm_action.html",
            title=f"{action.capitalize()} users",
            bans=settings.SUPABASE_BAN_SUSPENDED,
        )
