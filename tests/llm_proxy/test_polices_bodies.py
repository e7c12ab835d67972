from __future__ import annotations

import posixpath
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.errors import FieldForbidden, FieldInvalid, GatewayError
from gateway_core.proxy.operations import BodyKind
from llm_proxy.operations import CATALOGUE, OPERATIONS, ModelOperation
from llm_proxy.policy import FormPolicy, police

JSON_OPERATIONS = [operation for operation in OPERATIONS if operation.body is BodyKind.JSON]
CHAT, _ = CATALOGUE.match("POST", ("chat", "completions"))
TRANSCRIPTIONS, _ = CATALOGUE.match("POST", ("audio", "transcriptions"))

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


@pytest.mark.parametrize(
    "model",
    [
        "stub/x\r\nX-Injected: yes",
        "stub/../../../log",
        "stub/gpt?x=1",
        "stub/gpt#x",
        "stub/..",
        "stub/./x",
        "a..b",
        "stub//x",
        "/stub/x",
        "stub/x/",
        "stub/x\n",
        " x",
        "x ",
        "a  b",
        "a\tb",
        "a%2e%2e",
        "a\\b",
        "\u0430",
        "a\x00",
    ],
)
def test_refuses_a_model_whose_name_is_no_name(model: str) -> None:
    error = refusal(CHAT, chat(model=model))
    assert isinstance(error, FieldInvalid)
    assert (error.status, error.param) == (400, "model")
    with pytest.raises(FieldInvalid):
        FormPolicy(TRANSCRIPTIONS, {}, lambda _: True).check("model", model)


@pytest.mark.parametrize(
    "model",
    [
        "gpt-5.1",
        "openai/*",
        "ft:gpt-4o-mini:org::id",
        "bedrock/arn:aws:bedrock:eu-west-1:1:application-inference-profile/x",
        "vertex_ai/claude@20260101",
        "azure/My Deployment+1",
        "openrouter/meta/llama:free",
    ],
)
def test_takes_the_names_that_models_have(model: str) -> None:
    assert police(CHAT, chat(model=model)) == chat(model=model)


@given(st.text(st.characters(max_codepoint=0x100) | st.sampled_from("./ "), max_size=12))
def test_a_models_name_means_the_same_in_an_address_and_in_a_header(model: str) -> None:
    try:
        police(CHAT, chat(model=model))
    except GatewayError:
        return
    assert model.isascii()
    assert model.isprintable()
    assert posixpath.normpath(f"/v1/{model}") == f"/v1/{model}"
    assert urlsplit(f"http://upstream/{model}").path == f"/{model}"


@pytest.mark.parametrize("name", ["chat_template", "tokenize", "tools"])
def test_refuses_a_program_among_the_variables_of_a_template(name: str) -> None:
    error = refusal(CHAT, chat(chat_template_kwargs={"enable_thinking": True, name: "{{ 1 }}"}))
    assert isinstance(error, FieldForbidden)
    assert (error.status, error.param) == (400, f"chat_template_kwargs.{name}")


@pytest.mark.parametrize("variables", ["{}", [["chat_template", "x"]], 1])
def test_wants_the_variables_of_a_template_as_an_object(variables: Any) -> None:
    error = refusal(CHAT, chat(chat_template_kwargs=variables))
    assert isinstance(error, FieldInvalid)
    assert (error.status, error.param) == (400, "chat_template_kwargs")


@pytest.mark.parametrize("operation", JSON_OPERATIONS, ids=lambda operation: operation.name)
def test_looks_at_what_the_body_points_at(operation: ModelOperation) -> None:
    field = min(operation.accepts - {"model"})
    error = refusal(operation, {"model": "m", field: [{"url": "http://169.254.169.254/"}]})
    assert error.param == f"{field}.0.url"


def test_does_not_repeat_a_long_name_of_a_field() -> None:
    error = refusal(CHAT, chat(**{"x" * 10_000: 1}))
    assert len(error.detail) < 300
    assert len(error.param or "") < 100
