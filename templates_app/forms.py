from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms

from gateway_core.errors import GatewayError
from templates_app import services
from templates_app.models import Visibility

if TYPE_CHECKING:
    from accounts.models import User
    from templates_app.models import TemplateVersion


class PublishForm(forms.Form):
    """An Agent File to be published by staff."""

    file = forms.FileField(label="Agent File", help_text="In YAML or JSON.", allow_empty_file=True)
    visibility = forms.ChoiceField(
        choices=[
            (Visibility.PUBLIC, "For everybody, as the product's"),
            (Visibility.PRIVATE, "For you alone"),
        ]
    )
    changelog = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField"}), required=False
    )

    def publish(self, *, by: User) -> TemplateVersion | None:
        """Publish it; None when it can't be, and then the form's errors say why."""
        try:
            return services.publish_version(
                place=services.Place(by=by, visibility=Visibility(self.cleaned_data["visibility"])),
                content=self.cleaned_data["file"].read(),
                changelog=self.cleaned_data["changelog"],
            )
        except GatewayError as exc:
            faults = [f"{one['pointer']} {one['message']}".strip() for one in exc.errors]
            for fault in faults or [exc.detail]:
                self.add_error("file", fault)
            return None
