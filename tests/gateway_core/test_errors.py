from __future__ import annotations

import inspect

import orjson
import pytest

from gateway_core import errors, problem
from gateway_core.errors import Code, GatewayError


def every_leaf() -> list[type[GatewayError]]:
    return [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, GatewayError)
    ]


@pytest.mark.parametrize("kind", every_leaf())
def test_the_prefix_of_a_code_says_whose_fault_the_status_is(kind: type[GatewayError]) -> None:
    error = kind("x")
    who = error.code.split("_")[0]
    statuses = {
        "caller": range(400, 500),
        "policy": (403, 423),
        "quota": range(429, 430),
        "upstream": range(502, 505),
        "gateway": range(500, 504),
    }
    assert error.status in statuses[who]


def test_the_envelope_is_problem_json_with_an_openai_error_beside_it() -> None:
    error = errors.FieldInvalid(
        "model is missing", param="model", errors=[{"pointer": "/model", "message": "is missing"}]
    )
    assert orjson.loads(problem.encode(error, "req_1")) == {
        "type": "urn:gateway:error:caller_field_invalid",
        "title": "Caller field invalid",
        "status": 422,
        "detail": "model is missing",
        "code": "caller_field_invalid",
        "request_id": "req_1",
        "retryable": False,
        "error": {
            "message": "model is missing",
            "type": "invalid_request_error",
            "code": "caller_field_invalid",
            "param": "model",
        },
        "errors": [{"pointer": "/model", "message": "is missing"}],
    }


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.TokenRejected(), "authentication_error"),
        (errors.FieldForbidden(), "permission_error"),
        (errors.RateLimited(), "rate_limit_error"),
        (errors.BudgetExhausted(), "insufficient_quota"),
        (errors.UpstreamFailed(), "api_error"),
        (errors.ResourceNotFound(), "invalid_request_error"),
    ],
)
def test_the_openai_type_is_what_its_sdk_users_know(error: GatewayError, expected: str) -> None:
    assert problem.as_problem(error, "")["error"]["type"] == expected


def test_official_sdks_are_told_not_to_repeat_what_cant_succeed() -> None:
    assert problem.response_headers(errors.BudgetExhausted())["x-should-retry"] == "false"
    assert "x-should-retry" not in problem.response_headers(errors.RateLimited())


def test_retry_after_is_at_least_one_whole_second() -> None:
    assert problem.response_headers(errors.RateLimited(retry_after=0.2))["retry-after"] == "1"


def test_the_challenge_names_no_error_when_there_was_no_token() -> None:
    missing = errors.TokenRejected("Send a token.", code=Code.CALLER_TOKEN_MISSING)
    assert problem.response_headers(missing)["www-authenticate"] == 'Bearer realm="gateway"'
    invalid = problem.response_headers(errors.TokenRejected('Not "valid".'))["www-authenticate"]
    assert invalid == (
        'Bearer realm="gateway", error="invalid_token", error_description="Not \'valid\'."'
    )


def test_an_error_may_have_a_time_to_come_back_after_by_itself() -> None:
    assert problem.response_headers(errors.DatabaseUnavailable())["retry-after"] == "2"
    assert "retry-after" not in problem.response_headers(errors.InternalError())
