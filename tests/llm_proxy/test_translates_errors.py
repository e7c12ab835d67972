from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.errors import Code, GatewayError
from llm_proxy.refusals import meaning, read
from llm_proxy.wording import readable

NOT_ISSUED = "Forbidden. This response id was not issued by this proxy, so the proxy cannot tell."
NOT_OWN = "Forbidden. The response id is not associated with the user, who this key belongs to."
KEY_HASH = "e3f9e51c8c01cf40f61045f04fd38a0b7582e7fbe3bf981a2265e6cb7cee6e2b"
GROUP = "\n\nLiteLLM: model group 'stub/x' failed with the error above. No fallback was attempted."


def translated(
    status: int,
    kind: str = "",
    message: str = "",
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> GatewayError:
    """Return what becomes of an error answer in LiteLLM's own form."""
    error = {"message": message, "type": kind, "param": param, "code": str(status)}
    return meaning(read(status, orjson.dumps({"error": error}), headers or {}))


@pytest.mark.parametrize(
    ("status", "kind", "code", "answered"),
    [
        # Our key, in whatever state: never the caller's 401.
        (401, "auth_error", Code.UPSTREAM_CREDENTIAL_REJECTED, 502),
        (401, "token_not_found_in_db", Code.UPSTREAM_CREDENTIAL_REJECTED, 502),
        (401, "expired_key", Code.UPSTREAM_CREDENTIAL_REJECTED, 502),
        (401, "authentication_error", Code.UPSTREAM_CREDENTIAL_REJECTED, 502),
        (403, "permission_error", Code.UPSTREAM_CREDENTIAL_REJECTED, 502),
        # The status of a spent budget was another in each of these releases.
        (422, "budget_exceeded", Code.QUOTA_BUDGET_EXHAUSTED, 429),
        (429, "budget_exceeded", Code.QUOTA_BUDGET_EXHAUSTED, 429),
        (400, "budget_exceeded", Code.QUOTA_BUDGET_EXHAUSTED, 429),
        (403, "key_model_access_denied", Code.POLICY_MODEL_NOT_ALLOWED, 403),
        (403, "user_model_access_denied", Code.POLICY_MODEL_NOT_ALLOWED, 403),
        (401, "team_model_access_denied", Code.POLICY_MODEL_NOT_ALLOWED, 403),
        (503, "no_db_connection", Code.UPSTREAM_UNREACHABLE, 503),
        (500, "internal_server_error", Code.UPSTREAM_FAILED, 502),
        (503, "internal_server_error", Code.UPSTREAM_FAILED, 502),
        (529, "overloaded_error", Code.UPSTREAM_OVERLOADED, 503),
        (500, "api_error", Code.UPSTREAM_FAILED, 502),
        (408, "invalid_request_error", Code.UPSTREAM_TIMEOUT, 504),
        (400, "invalid_request_error", Code.CALLER_FIELD_INVALID, 400),
        (400, "the provider's own", Code.CALLER_FIELD_INVALID, 400),
        (422, "the provider's own", Code.CALLER_FIELD_INVALID, 422),
        (404, "invalid_request_error", Code.CALLER_NOT_FOUND, 404),
        (413, "request_too_large", Code.CALLER_BODY_TOO_LARGE, 413),
        (418, "teapot", Code.UPSTREAM_FAILED, 502),
    ],
)
def test_tells_whose_fault_it_is(status: int, kind: str, code: Code, answered: int) -> None:
    error = translated(status, kind, "words")
    assert (error.code, error.status) == (code, answered)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        # As LiteLLM 1.109.1 says it of a user and of a key whose money is spent,
        ("ExceededBudget: User=u1 over budget. Spend=0.1, Budget=0.08", "quota_budget_exhausted"),
        (
            "Budget has been exceeded! Key=gw:u1 (sk-...73dc) Current cost: 0.1, Max budget: 0.08",
            "quota_budget_exhausted",
        ),
        # and of one whose money other calls may need.
        (
            "Budget has been exceeded! User=u1 Current cost: 65.552, Max budget: 10.0",
            "quota_too_many_concurrent",
        ),
        (
            f"Budget has been exceeded! Key={KEY_HASH} Current cost: 42.77, Max budget: 10.0",
            "quota_too_many_concurrent",
        ),
    ],
)
def test_tells_a_spent_budget_from_one_that_calls_under_way_may_use_up(
    message: str, code: str
) -> None:
    error = translated(422, "budget_exceeded", message)
    assert (error.code, error.status, error.retryable) == (
        code,
        429,
        code == "quota_too_many_concurrent",
    )


@pytest.mark.parametrize("message", [NOT_ISSUED, NOT_OWN])
def test_takes_a_response_of_others_for_none(message: str) -> None:
    error = translated(403, "permission_error", message)
    assert (error.code, error.status, error.param) == (
        Code.CALLER_NOT_FOUND,
        404,
        "previous_response_id",
    )


@pytest.mark.parametrize(
    ("headers", "code", "retry_after"),
    [
        ({"rate_limit_type": "requests", "retry-after": "41"}, Code.QUOTA_RATE_LIMITED, 41),
        ({"rate_limit_type": "tokens", "retry-after": "soon"}, Code.QUOTA_RATE_LIMITED, None),
        ({"rate_limit_type": "max_parallel_requests"}, Code.QUOTA_TOO_MANY_CONCURRENT, 1),
        ({"llm_provider-retry-after": "7"}, Code.UPSTREAM_OVERLOADED, 7),
        ({}, Code.UPSTREAM_OVERLOADED, None),
    ],
)
@pytest.mark.parametrize("kind", ["throttling_error", "rate_limit_error", ""])
def test_tells_the_callers_limit_from_the_providers(
    kind: str, headers: dict[str, str], code: Code, retry_after: float | None
) -> None:
    message = f"Rate limit exceeded for api_key: {KEY_HASH}."
    error = translated(429, kind, message, headers=headers)
    assert (error.code, error.retry_after) == (code, retry_after)
    assert KEY_HASH not in error.detail


@pytest.mark.parametrize(
    "message",
    [
        f"You passed in model=nope. There are no healthy deployments for this model{GROUP}",
        "{'error': '/chat/completions: Invalid model name passed in model=nope. Call /v1/models'}",
    ],
)
def test_an_unknown_model_is_not_found(message: str) -> None:
    error = translated(400, "invalid_request_error", message)
    assert (error.code, error.status, error.param) == (Code.CALLER_NOT_FOUND, 404, "model")


def test_too_long_an_input_has_a_code_of_its_own() -> None:
    error = translated(
        400,
        "invalid_request_error",
        "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: "
        f"OpenAIException - This model's maximum context length is 8192 tokens.{GROUP}",
    )
    assert (error.code, error.status) == (Code.CALLER_CONTEXT_TOO_LONG, 400)
    assert error.detail == "This model's maximum context length is 8192 tokens."


def test_a_budget_is_recognised_in_anthropics_words() -> None:
    error = translated(422, "api_error", "Budget has been exceeded! Key=gw:x (sk-...fdFg)")
    assert error.code is Code.QUOTA_BUDGET_EXHAUSTED


def test_what_is_about_the_request_keeps_its_words_and_its_field() -> None:
    message = "/chat/completions: Missing required parameter: 'messages'."
    error = translated(400, "invalid_request_error", message, "messages")
    assert error.detail == "Missing required parameter: 'messages'."
    assert error.param == "messages"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (404, b'{"detail":"Not Found"}', Code.UPSTREAM_FAILED),
        (405, b'{"detail":"Method Not Allowed"}', Code.UPSTREAM_FAILED),
        (403, b'{"detail":"Virtual key is not allowed"}', Code.UPSTREAM_CREDENTIAL_REJECTED),
        (422, b'{"detail":[{"loc":["body","n"],"msg":"too big"}]}', Code.CALLER_FIELD_INVALID),
        (500, b"<html>oops</html>", Code.UPSTREAM_FAILED),
        (502, b"", Code.UPSTREAM_FAILED),
        (500, b"[]", Code.UPSTREAM_FAILED),
        (400, b'{"error":"text"}', Code.CALLER_FIELD_INVALID),
    ],
)
def test_any_other_answer_means_something_as_well(status: int, body: bytes, code: Code) -> None:
    assert meaning(read(status, body, {})).code is code


def test_validation_errors_name_their_field() -> None:
    error = meaning(read(422, b'{"detail":[{"loc":["body","n"],"msg":"too big"}]}', {}))
    assert error.detail == "body.n: too big"


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.integers(400, 599),
    json_values | st.dictionaries(st.sampled_from(["error", "detail"]), json_values),
)
def test_no_answer_is_too_strange_to_be_translated(status: int, answer: object) -> None:
    error = meaning(read(status, answer, {}))
    assert error.status != 401


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (f"litellm.BadRequestError: OpenAIException - bad seed{GROUP}", "bad seed"),
        ("litellm.NotFoundError: NotFoundError: Vertex_aiException - no voice", "no voice"),
        ("{'error': 'top_n must be positive'}", "top_n must be positive"),
        ("Received Model Group=gpt-4o\nAvailable Model Group Fallbacks=None", ""),
        ("", ""),
    ],
)
def test_keeps_the_providers_words_alone(message: str, said: str) -> None:
    assert readable(message) == said


INSIDE = (
    "http://10.0.0.3:8000/v1",
    "https://model-provider.internal:9999/v1",
    "postgresql://user:pass@db/litellm",
    "10.0.0.3:8000",
    "192.168.1.4",
    "model-provider.internal:9999",
    "localhost:4000",
    "sk-hL2_P_Uh3-mudz1vUWsjUw",
    "sk-...fdFg",
    "gwk_0123456789abcdef",
    "org-Qe4jd8sk2lA",
    KEY_HASH,
    GROUP,
    "litellm.APIConnectionError: ",
    "OpenAIException - ",
)
LEAK = re.compile(
    r"://|10\.0\.0|192\.168|internal|localhost|sk-|gwk_|org-|[0-9a-f]{32}|model group|litellm"
    r"|Exception"
)


@given(st.lists(st.sampled_from(INSIDE) | st.sampled_from(["the input is bad", "seed", "x=1"])))
def test_no_message_tells_of_the_inside(pieces: list[str]) -> None:
    assert not LEAK.search(readable(" ".join(pieces)))


def test_a_message_that_quotes_all_of_the_input_is_cut() -> None:
    assert len(readable("a-" * 200_000)) <= 600
