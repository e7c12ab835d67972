"""Whatever goes wrong in the control plane, the answer is the one envelope."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from rest_framework import exceptions, serializers
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gateway_core.errors import BudgetExhausted, RateLimited
from gateway_project import urls

_ERRORS: dict[str, Any] = {
    "gateway": lambda: RateLimited("Slower.", retry_after=7),
    "budget": BudgetExhausted,
    "database": lambda: OperationalError("connection to 10.0.0.1 refused"),
    "interface": lambda: InterfaceError("connection already closed"),
    "http404": lambda: Http404("row 7 of secret_table"),
    "denied": lambda: PermissionDenied("because of secret_reason"),
    "not-found": exceptions.NotFound,
    "drf-denied": exceptions.PermissionDenied,
    "unauthenticated": exceptions.NotAuthenticated,
    "failed": exceptions.AuthenticationFailed,
    "parse": lambda: exceptions.ParseError("JSON parse error"),
    "throttled": lambda: exceptions.Throttled(wait=3.2),
    "api": lambda: exceptions.APIException("Something of DRF's own."),
    "bug": lambda: RuntimeError("secret_of_a_bug"),
}


def _error(kind: str) -> Exception:
    error: Exception = _ERRORS[kind]()
    return error


class _Inner(serializers.Serializer[Any]):
    size = serializers.IntegerField()


class _Body(serializers.Serializer[Any]):
    name = serializers.CharField()
    parts = _Inner(many=True)


class _Raising(APIView):
    authentication_classes = ()
    permission_classes = ()
    parser_classes = (JSONParser,)

    def get(self, _request: Request, kind: str) -> Response:
        raise _error(kind)

    def post(self, request: Request, kind: str) -> Response:
        del kind
        body = _Body(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(body.data)


def _plain(_request: HttpRequest, kind: str) -> HttpResponse:
    if kind == "suspicious":
        raise SuspiciousOperation("secret_detail")
    raise _error(kind)


urlpatterns = [
    path("api/v1/raising/<kind>", _Raising.as_view()),
    path("api/v1/plain/<kind>", _plain),
    path("pages/<kind>", _plain),
    *urls.urlpatterns,
]
handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500
pytestmark = pytest.mark.urls(__name__)


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def _check_envelope(response: Any, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["code"] == problem["error"]["code"] == code
    assert problem["error"]["message"] == problem["detail"]
    assert problem["request_id"]
    assert "secret" not in response.content.decode()
    assert "10.0.0.1" not in response.content.decode()
    return problem


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("gateway", 429, "quota_rate_limited"),
        ("budget", 429, "quota_budget_exhausted"),
        ("database", 503, "gateway_database_unavailable"),
        ("interface", 503, "gateway_database_unavailable"),
        ("http404", 404, "caller_not_found"),
        ("denied", 403, "policy_forbidden"),
        ("not-found", 404, "caller_not_found"),
        ("drf-denied", 403, "policy_forbidden"),
        ("unauthenticated", 401, "caller_token_missing"),
        ("failed", 401, "caller_token_invalid"),
        ("parse", 400, "caller_request_malformed"),
        ("throttled", 429, "quota_rate_limited"),
        ("api", 500, "gateway_internal_error"),
        ("bug", 500, "gateway_internal_error"),
    ],
)
def test_answers_what_a_drf_view_raises(client: Client, kind: str, status: int, code: str) -> None:
    _check_envelope(client.get(f"/api/v1/raising/{kind}"), status, code)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("bug", 500, "gateway_internal_error"),
        ("http404", 404, "caller_not_found"),
        ("denied", 403, "policy_forbidden"),
        ("suspicious", 400, "caller_request_malformed"),
    ],
)
def test_answers_what_a_plain_view_below_the_api_raises(
    client: Client, kind: str, status: int, code: str
) -> None:
    _check_envelope(client.get(f"/api/v1/plain/{kind}"), status, code)


@pytest.mark.parametrize(
    ("kind", "status"), [("bug", 500), ("http404", 404), ("denied", 403), ("suspicious", 400)]
)
def test_answers_with_a_page_elsewhere(client: Client, kind: str, status: int) -> None:
    response = client.get(f"/pages/{kind}")

    assert response.status_code == status
    assert response["content-type"].startswith("text/html")
    assert b"secret" not in response.content


def test_tells_every_fault_of_a_body_with_its_place(client: Client) -> None:
    response = client.post(
        "/api/v1/raising/any",
        {"parts": [{"size": 1}, {"size": "big"}, {}]},
        content_type="application/json",
    )

    problem = _check_envelope(response, 422, "caller_field_invalid")
    assert {fault["pointer"] for fault in problem["errors"]} == {
        "/name",
        "/parts/1/size",
        "/parts/2/size",
    }
    assert problem["error"]["param"] == problem["errors"][0]["pointer"] == "/name"
    assert problem["detail"] == "/name is required."


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({"name": "x", "parts": [[]]}, "/parts/0"),
        ({"name": "x", "parts": 1}, "/parts"),
    ],
)
def test_points_at_the_whole_when_it_is_of_another_kind(
    client: Client, body: Any, pointer: str
) -> None:
    response = client.post("/api/v1/raising/any", body, content_type="application/json")

    problem = _check_envelope(response, 422, "caller_field_invalid")
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
    assert problem["error"]["param"] == pointer


def test_answers_400_when_the_body_is_not_json(client: Client) -> None:
    response = client.post("/api/v1/raising/any", "{", content_type="application/json")

    _check_envelope(response, 400, "caller_request_malformed")


def test_answers_415_when_the_body_is_of_another_kind(client: Client) -> None:
    response = client.post("/api/v1/raising/any", "a=b", content_type="text/plain")

    _check_envelope(response, 415, "caller_media_type_unsupported")


def test_answers_405_when_the_path_has_other_methods(client: Client) -> None:
    response = client.delete("/api/v1/raising/any")

    problem = _check_envelope(response, 405, "caller_method_not_allowed")
    assert (
        problem["detail"] == 'Method "DELETE" not allowed. The Allow header names those that are.'
    )
    assert response["allow"] == "GET, POST, HEAD, OPTIONS"


def test_answers_404_in_the_envelope_when_there_is_no_such_route(client: Client) -> None:
    problem = _check_envelope(client.get("/api/v1/nowhere"), 404, "caller_not_found")

    assert problem["detail"] == "The API has no path /api/v1/nowhere. /docs lists those it has."


def test_answers_400_in_the_envelope_when_the_host_is_not_ours(client: Client) -> None:
    response = client.get("/api/v1/system/health", headers={"host": "evil.example"})

    _check_envelope(response, 400, "caller_request_malformed")


def test_says_when_to_come_back_when_a_quota_is_spent(client: Client) -> None:
    assert client.get("/api/v1/raising/gateway")["retry-after"] == "7"
    assert client.get("/api/v1/raising/throttled")["retry-after"] == "4"


def test_tells_sdks_not_to_repeat_what_can_not_succeed(client: Client) -> None:
    assert client.get("/api/v1/raising/budget")["x-should-retry"] == "false"
    assert "x-should-retry" not in client.get("/api/v1/raising/gateway")


def test_challenges_for_a_token_when_there_is_none(client: Client) -> None:
    assert client.get("/api/v1/raising/unauthenticated")["www-authenticate"] == (
        'Bearer realm="gateway"'
    )
