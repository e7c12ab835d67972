"""Plans for staff, and what is different for single users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import label_for_field
from django.db.models import Q

from accounts.plans import services
from accounts.plans.models import Plan, Unlimited, UserPlan
from gateway_core.admin import found_exactly

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from accounts.models import User

    PlanBase = admin.ModelAdmin[Plan]
    UserPlanBase = admin.ModelAdmin[UserPlan]
    InlineBase = admin.StackedInline[UserPlan, User]
    FormBase = forms.ModelForm[Plan]
    UserPlanFormBase = forms.ModelForm[UserPlan]
else:  # at run time not generic
    PlanBase = UserPlanBase = admin.ModelAdmin
    InlineBase = admin.StackedInline
    FormBase = UserPlanFormBase = forms.ModelForm

_LIMITS = (
    "allowed_models",
    "requests_per_minute",
    "tokens_per_minute",
    "max_parallel_calls",
    "max_agents",
    "max_api_keys",
)
_RATES = ("rate_general", "rate_llm", "rate_proxy", "rate_uploads", "rate_writes")
_OWN = ("budget", "budget_period", *_LIMITS, *_RATES)
_RATES_FORM = (
    "How many requests an hour, in one go after a rest and, where that is limited, at once: "
    "1000/h:100:32. What is left empty is as in "
)


class PlanForm(FormBase):
    """A plan. Making it the default takes that from another plan."""

    def clean(self) -> dict[str, Any] | None:
        """Keep one default plan."""
        cleaned = super().clean()
        if "is_default" in self.changed_data and not self.cleaned_data["is_default"]:
            self.add_error("is_default", "One plan has to be. Make another one the default.")
        return cleaned


@admin.register(Plan)
class PlanAdmin(PlanBase):
    """What users may use and spend."""

    form = PlanForm
    list_display = ("name", "is_default", "budget", "budget_period", *_LIMITS[1:])
    search_fields = ("name",)
    readonly_fields = ("created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "is_default")}),
        (
            "Limits of each user on it",
            {
                "fields": ("budget", "budget_period", *_LIMITS),
                "description": "What is left empty is not limited. A change holds from the very "
                "next call of everybody on the plan. Periods are calendar ones, in UTC.",
            },
        ),
        (
            "Requests of each user on it",
            {"fields": _RATES, "description": f"{_RATES_FORM}the gateway's settings."},
        ),
        ("History", {"fields": ("created_at", "updated_at")}),
    )
    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        """Nobody deletes the default plan, or one that users are on."""
        is_free = obj is None or not (obj.is_default or obj.users.exists())
        return is_free and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Plan, form: Any, change: bool) -> None:  # noqa: ARG002, FBT001
        """Save with an audit event."""
        services.save_plan(plan=obj, by=cast("User", request.user))

    def delete_model(self, request: HttpRequest, obj: Plan) -> None:
        """Delete with an audit event."""
        services.delete_plan(plan=obj, by=cast("User", request.user))


class UserPlanForm(UserPlanFormBase):
    """A user's own limits, with a box to tick for each that they don't have at all."""

    unlimited = forms.MultipleChoiceField(
        label="No limit on",
        choices=Unlimited.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Whatever the plan says.",
    )


class UserPlanInline(InlineBase):
    """On the user's page."""

    model = UserPlan
    form = UserPlanForm
    fields = ("plan", "budget", "budget_period", *_LIMITS, "unlimited", *_RATES)
    can_delete = False
    verbose_name = "plan, and limits instead of the plan's"


@admin.register(UserPlan)
class UserPlanAdmin(UserPlanBase):
    """The same for staff who may not change users."""

    form = UserPlanForm
    list_display = ("user", "plan", "own_limits", "updated_at")
    list_filter = ("plan",)
    list_select_related = ("user", "plan")
    search_fields = ("user__email",)
    search_help_text = "The whole e-mail address or id of the user."
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    autocomplete_fields = ("user",)
    readonly_fields = ("updated_at",)
    fieldsets = (
        (None, {"fields": ("user", "plan")}),
        (
            "Instead of the plan's limits",
            {
                "fields": ("budget", "budget_period", *_LIMITS, "unlimited", "updated_at"),
                "description": "What is left empty is as in the plan. For every model, write *.",
            },
        ),
        (
            "Instead of the plan's requests",
            {"fields": _RATES, "description": f"{_RATES_FORM}the plan."},
        ),
    )
    actions = None

    @admin.display(description="instead of the plan's")
    def own_limits(self, obj: UserPlan) -> str:
        """What is different for them, in words."""
        named = ((name, _shown(obj, name)) for name in _OWN)
        return ", ".join(
            f"{label_for_field(name, UserPlan)}: {shown}" for name, shown in named if shown
        )

    def get_readonly_fields(self, _request: HttpRequest, obj: UserPlan | None = None) -> Any:
        """Whose it is does not change."""
        return (*self.readonly_fields, "user") if obj else self.readonly_fields

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[UserPlan], search_term: str
    ) -> tuple[QuerySet[UserPlan], bool]:
        """Exact matches only, each by an index."""
        return found_exactly(queryset, search_term, by_id=lambda wanted: Q(pk=wanted)), False

    def has_delete_permission(self, _request: HttpRequest, _obj: UserPlan | None = None) -> bool:
        """Emptied, it is as if there were none."""
        return False

    def save_model(self, request: HttpRequest, obj: UserPlan, form: Any, change: bool) -> None:  # noqa: ARG002, FBT001
        """Save with an audit event."""
        services.save_user_plan(user_plan=obj, by=cast("User", request.user))


def _shown(own: UserPlan, name: str) -> str:
    """Return a limit in words; nothing where it is the plan's."""
    if name in own.unlimited:
        return "no limit"
    value = getattr(own, name)
    if isinstance(value, list):
        return " ".join(value)
    return "" if value is None else str(value)
