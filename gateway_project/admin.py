"""The admin site of the product: for staff only, with a guarded sign-in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from unicodedata import normalize

from django.contrib import admin, messages
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, ValidationError
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path

from gateway_core.errors import PolicyError, ResourceNotFound
from gateway_project.throttling import address, seconds_to_wait

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from accounts.models import User

_TOO_MANY: Final = "too_many_attempts"
_TOO_MANY_REQUESTS: Final = 429
# One address guessing the password of one name, and one address trying many names.
_RATE_OF_NAME: Final = "10/m"
_RATE_OF_ADDRESS: Final = "60/m"


class SignInForm(AdminAuthenticationForm):
    """The admin's sign-in, so many times a minute; a limited attempt does not look at passwords."""

    request: HttpRequest

    def clean(self) -> dict[str, Any]:
        """Count the attempt, then check name and password.

        Raises:
            ValidationError: too many attempts, or they don't fit.
        """
        wait = self._seconds_to_wait()
        if wait is not None:
            raise ValidationError(
                "Too many attempts to sign in. Try again in %(wait)s seconds.",
                code=_TOO_MANY,
                params={"wait": wait},
            )
        return super().clean()

    def _seconds_to_wait(self) -> int | None:
        who = address(self.request)
        name = normalize("NFKC", str(self.data.get("username", ""))).strip().casefold()
        waits = (
            seconds_to_wait(self.request, group="admin-address", rate=_RATE_OF_ADDRESS, who=who),
            seconds_to_wait(
                self.request, group="admin-name", rate=_RATE_OF_NAME, who=f"{who} {name}"
            ),
        )
        return max((wait for wait in waits if wait is not None), default=None)


class GatewayAdminSite(admin.AdminSite):
    """Django's admin under the product's name."""

    site_title = "AI Agent Gateway"
    site_header = "AI Agent Gateway"
    index_title = "Administration"
    site_url = "/docs"
    # Lists are wide: beside it and the filters, half of their columns were out of sight.
    enable_nav_sidebar = False
    login_form = SignInForm
    index_template = "gateway/admin_index.html"

    def get_urls(self) -> list[Any]:
        """Add the page of the upstreams, which have no table."""
        view = self.admin_view(self.upstreams)
        return [path("upstreams/", view, name="upstreams"), *super().get_urls()]

    def upstreams(self, request: HttpRequest) -> HttpResponse:
        """Show the circuit breakers; trip or reset one."""
        staff = cast("User", request.user)
        if request.method == "POST":
            _act(request, staff)
            return redirect("admin:upstreams")
        from gateway_project.system import circuits  # noqa: PLC0415 - needs loaded apps

        context = {
            **self.each_context(request),
            "title": "Upstreams",
            "circuits": circuits.circuits(),
            "may_change": staff.is_superuser,
        }
        return TemplateResponse(request, "gateway/upstreams.html", context)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the form or sign in; 429 when an attempt was one too many."""
        response = super().login(request, extra_context)
        form = getattr(response, "context_data", {}).get("form")
        if form is not None and form.is_bound and form.has_error(NON_FIELD_ERRORS, _TOO_MANY):
            response.status_code = _TOO_MANY_REQUESTS
        return response


def _act(request: HttpRequest, staff: User) -> None:
    from gateway_project.system import circuits  # noqa: PLC0415 - needs loaded apps

    name, action = request.POST.get("name", ""), request.POST.get("action")
    try:
        if action == "trip":
            reason = f"{request.POST.get('reason', '')[:200]} ({staff.get_username()})".strip()
            report = circuits.trip(name=name, reason=reason, by=staff)
        else:
            report = circuits.reset(name=name, by=staff)
    except PolicyError as error:
        raise PermissionDenied(error.detail) from error
    except ResourceNotFound as error:
        messages.error(request, error.detail)
    else:
        said = f"The circuit of {report.name} is {report.state} now, in every process."
        messages.success(request, said)
