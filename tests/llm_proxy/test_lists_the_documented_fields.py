"""The allow-lists against what the official SDK sends, and against what LiteLLM obeys."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING, get_type_hints

import pytest
from openai.types import (
    completion_create_params,
    embedding_create_params,
    image_generate_params,
    moderation_create_params,
)
from openai.types.audio import speech_create_params, transcription_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params

from llm_proxy import fields
from llm_proxy.operations import OPERATIONS
from tests.upstreams.places import HOME

if TYPE_CHECKING:
    from pathlib import Path

BY_NAME = {operation.name: operation for operation in OPERATIONS}

# Documented, and not offered: why stands in ``fields``.
NOT_OFFERED = {
    "responses": {
        "access_programs",
        "background",
        "background_options",
        "conversation",
        "prompt",
    },
}
# Names of the model APIs that LiteLLM happens to use for itself as well: none.
SHARED_NAMES: set[str] = set()

# From ``all_litellm_params`` of LiteLLM 1.109.1, less prices and callback credentials, which all
# are called ``*_cost*`` and ``*_api_key``, ``*_host`` and the like.
LITELLM_PARAMS = """
    acompletion adaptive_router_config aembedding aimg_generation allm_passthrough_route
    allow_client_keepalive_override allowed_model_region allowed_openai_params api_base api_key
    api_version assistant_continue_message async_call atext_completion attempted_targets
    auto_router_config auto_router_config_path auto_router_default_model aws_batch_role_arn azure
    azure_ad_token_provider azure_password azure_scope azure_username base_model bedrock_tags
    bos_token budget_duration cache cache_key caching caching_groups chatgpt_auth_file client
    client_id client_secret client_side_timeout complete_response completion_call_id
    configurable_clientside_auth_params context_window_fallback_dict cooldown_time
    custom_llm_provider custom_prompt_dict data_residency default_api_key_rpm_limit
    enable_json_schema_validation enable_prompt_caching enable_tag_filtering
    ensure_alternating_roles eos_token fallback_depth fallbacks fastest_response
    final_prompt_value force_timeout guardrails headers hf_model_name id initial_prompt_value itpm
    keepalive_seconds litellm_call_id litellm_credential_name litellm_disabled_callbacks
    litellm_logging_obj litellm_metadata litellm_request_debug litellm_session_id
    litellm_system_prompt litellm_trace_id litellm_trusted_callback_vars
    log_client_error_tracebacks logger_fn max_agentic_loops max_budget max_fallbacks
    max_file_size_mb max_parallel_requests max_retries merge_reasoning_content_in_choices metadata
    mock_response mock_timeout model_alias_map model_config model_file_id_mapping model_info
    model_list no-log num_retries order otpm preset_cache_key prompt_environment prompt_id
    prompt_label prompt_variables prompt_version provider_affinity_header
    provider_specific_header proxy_server_request region_name request_timeout
    responses_api_version retry_policy retry_strategy roles routing_strategy rpd rpm rust
    s3_bucket_name search_tool_name secret_fields self shared_session silent_model ssl_verify
    stream_chunk_size stream_response stream_timeout supports_system_message tag_regex tags
    tenant_id text_completion thought_signature_in_tool_call_id tiered_pricing
    timeout_by_service_tier token_exchange_audience tpd tpm ttl turn_off_message_logging
    use_chat_completions_api use_client use_in_pass_through use_litellm_proxy user_continue_message
    verbose weight
""".split()  # noqa: SIM905 - a list of words reads better without their quotation marks


@pytest.mark.parametrize(
    ("operation", "documented"),
    [
        ("chat/completions", chat_create_params.CompletionCreateParamsStreaming),
        ("completions", completion_create_params.CompletionCreateParamsStreaming),
        ("embeddings", embedding_create_params.EmbeddingCreateParams),
        ("responses", response_create_params.ResponseCreateParamsStreaming),
        ("images/generations", image_generate_params.ImageGenerateParamsStreaming),
        ("audio/transcriptions", transcription_create_params.TranscriptionCreateParamsStreaming),
        ("audio/speech", speech_create_params.SpeechCreateParams),
        ("moderations", moderation_create_params.ModerationCreateParams),
    ],
)
def test_every_field_of_the_official_sdk_has_been_decided_on(
    operation: str, documented: type
) -> None:
    known = BY_NAME[operation].accepts | BY_NAME[operation].drops
    assert set(get_type_hints(documented)) - known == NOT_OFFERED.get(operation, set())


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_no_field_that_litellm_takes_for_itself_may_pass(operation: object) -> None:
    accepts: frozenset[str] = getattr(operation, "accepts", frozenset())
    assert accepts & litellm_params() == SHARED_NAMES
    assert not [name for name in accepts if name.startswith(("litellm_", "_litellm", "mock_"))]


def test_nothing_is_both_kept_and_dropped() -> None:
    for operation in OPERATIONS:
        assert not operation.accepts & operation.drops
    assert fields.ATTRIBUTION <= fields.CHAT_DROPPED


@cache
def litellm_params() -> set[str]:
    """Return LiteLLM's own list where it is installed, and always the names above.

    Read, not imported: LiteLLM lives in an environment of its own.
    """
    names = set(LITELLM_PARAMS)
    for types in HOME.glob("litellm/venv/lib/python3*/site-packages/litellm/types"):
        names |= _members(types / "litellm_params.py", "")
        names |= _members(types / "utils.py", "StandardCallbackDynamicParams")
        names |= _members(types / "utils.py", "CustomPricingLiteLLMParams")
    return names


def _members(source: Path, wanted: str) -> set[str]:
    """Return the fields of a module's classes, or of one, by the name they have in a request."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    return {
        _wire_name(line)
        for name, node in classes.items()
        if wanted in ("", name)
        for line in node.body
        # A field of another class here groups that one's fields.
        if isinstance(line, ast.AnnAssign) and ast.unparse(line.annotation) not in classes
    }


def _wire_name(line: ast.AnnAssign) -> str:
    wired = [
        call.args[0]
        for call in ast.walk(line)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "wire"
    ]
    named = wired[0] if wired else line.target
    return str(getattr(named, "value", getattr(named, "id", "")))
