from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.errors import FieldForbidden, FieldInvalid, GatewayError
from gateway_core.proxy.operations import BodyKind
from llm_proxy.operations import CATALOGUE, OPERATIONS, ModelOperation
from llm_proxy.policy import police

JSON_OPERATIONS = [operation for operation in OPERATIONS if operation.body is BodyKind.JSON]
CHAT, _ = CATALOGUE.match("POST", ("chat", "completions"))

# What LiteLLM takes as an order when it stands in a body; none may pass in any operation.
ORDERS = (
    "allowed_model_region",
    "api_base",
    "api_key",
    "api_version",
    "base_url",
    "cache",
    "caching",
    "callbacks",
    "custom_llm_provider",
    "drop_params",
    "extra_body",
    "extra_headers",
    "fallbacks",
    "fastest_response",
    "guardrails",
    "headers",
    "input_cost_per_token",
    "litellm_call_id",
    "litellm_metadata",
    "litellm_session_id",
    "litellm_trace_id",
    "max_budget",
    "mock_response",
    "mock_testing_fallbacks",
    "mock_timeout",
    "model_info",
    "model_list",
    "no-log",
    "num_retries",
    "organization",
    "priority",
    "prompt_id",
    "proxy_server_request",
    "request_timeout",
    "router_settings_override",
    "specific_deployment",
    "tags",
    "team",
    "timeout",
    "user_config",
    "user_id",
    "vertex_credentials",
)


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], **more}


def refusal(operation: ModelOperation, body: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        police(operation, body)
    return caught.value


@pytest.mark.parametrize("operation", JSON_OPERATIONS, ids=lambda operation: operation.name)
@pytest.mark.parametrize("field", ORDERS)
def test_refuses_an_order_to_litellm(operation: ModelOperation, field: str) -> None:
    error = refusal(operation, {"model": "m", field: "x"})
    assert isinstance(error, FieldForbidden)
    assert (error.status, error.param) == (400, field)
    assert field in error.detail


@given(st.text(max_size=30), st.sampled_from(JSON_OPERATIONS))
def test_refuses_every_field_that_is_not_listed(field: str, operation: ModelOperation) -> None:
    if field in operation.accepts | operation.drops:
        return
    assert refusal(operation, {"model": "m", field: "x"}).status == 400


@pytest.mark.parametrize("operation", JSON_OPERATIONS, ids=lambda operation: operation.name)
def test_drops_attribution_without_a_word(operation: ModelOperation) -> None:
    attribution = {"user": "mallory", "metadata": {"tags": ["x"]}, "safety_identifier": "mallory"}
    assert police(operation, {"model": "m", **attribution}) == {"model": "m"}


def test_drops_the_wish_that_chats_be_kept_at_the_provider() -> None:
    assert police(CHAT, chat(store=True)) == chat()


def test_keeps_what_callers_may_set_as_it_is() -> None:
    body = chat(
        temperature=0.2,
        stream=True,
        stream_options={"include_usage": True},
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
        top_k=5,
        chat_template_kwargs={"enable_thinking": False},
    )
    assert police(CHAT, dict(body)) == body


@pytest.mark.parametrize("body", [None, [], "text", 3, [chat()]])
def test_refuses_what_is_not_an_object(body: Any) -> None:
    error = refusal(CHAT, body)
    assert isinstance(error, FieldInvalid)
    assert error.status == 400


@pytest.mark.parametrize("model", [None, "", "  ", 3, ["a", "b"], {"a": 1}])
def test_asks_for_a_model(model: Any) -> None:
    error = refusal(CHAT, chat(model=model))
    assert isinstance(error, FieldInvalid)
    assert (error.status, error.param) == (400, "model")


def test_asks_for_a_model_that_is_not_named_at_all() -> None:
    assert refusal(CHAT, {"messages": []}).param == "model"


@pytest.mark.parametrize(
    "model", ["a,b", "a,", "huggingface/https://evil.example/v1", "http://evil.example", "x" * 300]
)
def test_refuses_a_model_that_is_several_or_an_address(model: str) -> None:
    error = refusal(CHAT, chat(model=model))
    assert isinstance(error, FieldForbidden)
    assert (error.status, error.param) == (400, "model")


@pytest.mark.parametrize("operation", JSON_OPERATIONS, ids=lambda operation: operation.name)
def test_looks_at_what_the_body_points_at(operation: ModelOperation) -> None:
    field = min(operation.accepts - {"model"})
    error = refusal(operation, {"model": "m", field: [{"url": "http://169.254.169.254/"}]})
    assert error.param == f"{field}.0.url"


def test_does_not_repeat_a_long_name_of_a_field() -> None:
    error = refusal(CHAT, chat(**{"x" * 10_000: 1}))
    assert len(error.detail) < 300
    assert len(error.param or "") < 100
