from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import path
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from accounts.sessions.models import Denial
from accounts.sessions.sensitive import SensitiveAction, sensitive
from accounts.supabase import client as supabase_client
from tests.accounts.sessions.conftest import SignIn, Visit
from tests.conftest import RunningSupabase

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]
ASKED = "^/auth/v1/user$"


@sensitive("create", "rotate")
class Things(ViewSet):
    def list(self, _request: Request) -> Response:
        return Response([])

    def create(self, _request: Request) -> Response:
        return Response({}, status=201)

    def partial_update(self, _request: Request, pk: str) -> Response:
        return Response({"pk": pk})

    @action(detail=True, methods=["POST"])
    def rotate(self, _request: Request, pk: str) -> Response:
        return Response({"pk": pk})


@sensitive()
class Account(APIView):
    def get(self, _request: Request) -> Response:
        return Response({})

    def delete(self, _request: Request) -> Response:
        return Response(status=204)


@sensitive("get")
class Export(APIView):
    def get(self, _request: Request) -> Response:
        return Response({})


router = SimpleRouter(trailing_slash=False)
router.register("things", Things, basename="thing")
urlpatterns = [
    path("account", Account.as_view()),
    path("export", Export.as_view()),
    *router.urls,
]


@pytest.fixture
def asked(supabase: RunningSupabase) -> Callable[[], int]:
    """How often Supabase was asked."""
    return lambda: len(supabase.requests(ASKED))


def call(visit: Visit | None, method: str, target: str) -> Any:
    headers = visit.headers if visit else {}
    return Client().generic(method, target, headers=headers)


SENSITIVE = [
    ("POST", "/things"),
    ("POST", "/things/7/rotate"),
    ("DELETE", "/account"),
    ("GET", "/export"),
]
HARMLESS = [("GET", "/things"), ("PATCH", "/things/7"), ("GET", "/account")]


@pytest.mark.parametrize(("method", "target"), SENSITIVE)
def test_asks_before_a_sensitive_action(
    method: str, target: str, sign_in: SignIn, asked: Any
) -> None:
    visit = sign_in()
    assert call(visit, method, target).status_code < 300
    assert asked() == 1
    supabase_client.sign_out(visit.token)
    assert call(visit, method, target).status_code < 300  # the answer is still good
    assert asked() == 1


@pytest.mark.parametrize(("method", "target"), HARMLESS)
def test_asks_nothing_before_a_harmless_one(
    method: str, target: str, sign_in: SignIn, asked: Any
) -> None:
    visit = sign_in()
    supabase_client.sign_out(visit.token)
    assert call(visit, method, target).status_code == 200
    assert asked() == 0


@pytest.mark.parametrize(("method", "target"), SENSITIVE)
def test_refuses_a_session_that_has_ended(method: str, target: str, sign_in: SignIn) -> None:
    visit = sign_in()
    supabase_client.sign_out(visit.token)
    answer = call(visit, method, target)
    assert (answer.status_code, answer.json()["code"]) == (401, "caller_token_revoked")
    assert "signed out" in answer.json()["detail"]


def test_ends_here_what_has_ended_there(sign_in: SignIn) -> None:
    visit, other = sign_in(), sign_in()
    supabase_client.sign_out(visit.token, supabase_client.SignOutScope.LOCAL)
    assert call(visit, "GET", "/things").status_code == 200
    call(visit, "DELETE", "/account")
    denial = Denial.objects.get()
    assert (denial.session_id, denial.reason) == (visit.session_id, "signed_out")
    assert denial.until is not None
    assert call(visit, "GET", "/things").status_code == 401
    assert call(other, "DELETE", "/account").status_code == 204


def test_refuses_a_user_who_is_banned(sign_in: SignIn) -> None:
    visit = sign_in()
    supabase_client.ban_user(visit.user_id)
    answer = call(visit, "DELETE", "/account")
    assert (answer.status_code, answer.json()["code"]) == (403, "policy_account_suspended")
    assert not Denial.objects.exists()


@pytest.mark.parametrize(("method", "target"), SENSITIVE)
def test_answers_503_and_never_401_while_supabase_is_away(
    method: str, target: str, sign_in: SignIn, supabase: RunningSupabase
) -> None:
    supabase.fault(ASKED, status=502)
    answer = call(sign_in(), method, target)
    assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unreachable")
    assert answer["retry-after"]
    assert not Denial.objects.exists()


def test_goes_on_with_what_is_harmless_while_supabase_is_away(
    sign_in: SignIn, supabase: RunningSupabase
) -> None:
    supabase.fault(ASKED, status=502)
    assert call(sign_in(), "GET", "/things").status_code == 200


@pytest.mark.parametrize(("method", "target"), [*SENSITIVE, *HARMLESS])
def test_lets_nobody_in_without_a_token(method: str, target: str, asked: Any) -> None:
    answer = call(None, method, target)
    assert (answer.status_code, answer.json()["code"]) == (401, "caller_token_missing")
    assert asked() == 0


def test_asks_nothing_when_the_policy_is_off(sign_in: SignIn, asked: Any, settings: Any) -> None:
    settings.SESSION_POLICY = "off"
    visit = sign_in()
    supabase_client.sign_out(visit.token)
    assert call(visit, "DELETE", "/account").status_code == 204
    assert asked() == 0


def test_asks_under_always_as_well(sign_in: SignIn, asked: Any, settings: Any) -> None:
    settings.SESSION_POLICY = "always"
    assert call(sign_in(), "DELETE", "/account").status_code == 204
    assert asked() == 1


def test_keeps_the_permissions_that_the_view_has() -> None:
    assert len(Account.permission_classes) == 2
    assert Account.permission_classes[-1] is SensitiveAction
    assert SensitiveAction not in APIView.permission_classes


def test_knows_no_action_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="rotat"):
        sensitive("rotat")(Things)
