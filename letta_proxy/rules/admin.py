"""Access rules for staff: what a rule covers, and what it would have stopped, shown beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe

from letta_proxy.rules import services
from letta_proxy.rules.book import as_applied
from letta_proxy.rules.coverage import covered
from letta_proxy.rules.history import tally
from letta_proxy.rules.models import AccessRule

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    from accounts.models import User

    Base = admin.ModelAdmin[AccessRule]
else:
    Base = admin.ModelAdmin  # at run time not generic


@admin.register(AccessRule)
class AccessRuleAdmin(Base):
    """What staff take away from the operations that are offered."""

    list_display = ("rule_id", "is_active", "effect", "method_or_any", "path_pattern", "only_for")
    list_display_links = ("rule_id", "path_pattern")
    list_filter = ("is_active", "effect", "method", "role")
    list_select_related = ("user",)
    search_fields = ("path_pattern", "reason")
    search_help_text = "A part of the path pattern or of the reason."
    show_facets = admin.ShowFacets.NEVER
    autocomplete_fields = ("user",)
    readonly_fields = ("covers", "recently", "created_at", "updated_at", "updated_by")
    fieldsets = (
        (
            None,
            {
                "fields": ("effect", "method", "path_pattern", "is_active", "reason"),
                "description": "A rule takes an offered operation away, in every process within a "
                "second. It can't offer anything. Try a new one as shadow first.",
            },
        ),
        ("Whom it is about", {"fields": ("user", "role")}),
        ("What it does", {"fields": ("covers", "recently")}),
        ("History", {"fields": ("created_at", "updated_at", "updated_by")}),
    )

    @admin.display(description="rule", ordering="id")
    def rule_id(self, rule: AccessRule) -> str:
        """The id that callers, logs and the audit trail have."""
        return rule.rule_id

    @admin.display(description="method", ordering="method")
    def method_or_any(self, rule: AccessRule) -> str:
        """The method."""
        return rule.method or "any"

    @admin.display(description="only for")
    def only_for(self, rule: AccessRule) -> str:
        """Whom the rule is about."""
        return str(rule.user) if rule.user else rule.get_role_display() or "everybody"

    @admin.display(description="operations")
    def covers(self, rule: AccessRule) -> SafeString | str:
        """The operations that a saved rule is about."""
        operations = covered(rule.method, rule.path_pattern)
        if not operations:
            return "None that is offered: the rule does nothing."
        return format_html_join(mark_safe("<br>"), "{}", ((str(one),) for one in operations))

    @admin.display(description="last 24 hours")
    def recently(self, rule: AccessRule) -> str:
        """How many requests a saved rule matches, whether it is active or not."""
        return f"It matches {tally(as_applied([rule]))[rule.rule_id]}."

    def get_fieldsets(self, request: HttpRequest, obj: AccessRule | None = None) -> Any:
        """Leave out what only a saved rule has."""
        fieldsets = super().get_fieldsets(request, obj)
        return fieldsets if obj else fieldsets[:2]

    def save_model(self, request: HttpRequest, obj: AccessRule, form: Any, change: bool) -> None:  # noqa: ARG002, FBT001
        """Save with an audit event, and say what the rule is about."""
        services.save_rule(rule=obj, by=cast("User", request.user))
        operations = covered(obj.method, obj.path_pattern)
        shown = f"Operations that {obj.rule_id} is about: {len(operations)}."
        if not obj.is_active:
            self.message_user(request, f"{shown} It is switched off.", messages.WARNING)
        else:
            self.message_user(request, shown, messages.INFO)

    def delete_model(self, request: HttpRequest, obj: AccessRule) -> None:
        """Delete with an audit event."""
        services.delete_rule(rule=obj, by=cast("User", request.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AccessRule]) -> None:
        """Delete each with an audit event."""
        for rule in queryset:
            services.delete_rule(rule=rule, by=cast("User", request.user))
