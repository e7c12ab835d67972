"""The body fields that callers may set, by operation. What is not named here is refused.

They are what the OpenAI, Anthropic and Cohere APIs document in 2026, and the sampling and
reasoning extras of open models. Left out although documented, because they name things that live
in the operator's account at the provider and that the gateway keeps nobody's share of:
``conversation``, ``prompt`` (stored prompts), ``background`` (answers to be fetched later),
``container``, ``access_programs``. So is ``chat_template``: it is a program.
"""

from __future__ import annotations

from typing import Final

# Whom a call is attributed to is the gateway's to say. Well-meaning clients send these, so they
# are dropped without a word. Chat's ``store`` would keep a copy in the operator's account.
ATTRIBUTION: Final = frozenset({"metadata", "safety_identifier", "user"})
CHAT_DROPPED: Final = ATTRIBUTION | {"store"}

_SAMPLING: Final = frozenset(
    {
        "bad_words",
        "enable_thinking",
        "frequency_penalty",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "ignore_eos",
        "include_stop_str_in_output",
        "length_penalty",
        "logit_bias",
        "max_tokens",
        "min_p",
        "min_tokens",
        "n",
        "presence_penalty",
        "random_seed",
        "repetition_penalty",
        "seed",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop",
        "stop_token_ids",
        "structured_outputs",
        "temperature",
        "top_a",
        "top_k",
        "top_p",
        "typical_p",
    }
)
_REASONING: Final = frozenset(
    {
        "include_reasoning",
        "reasoning",
        "reasoning_effort",
        "reasoning_format",
        "reasoning_split",
        "thinking",
        "thinking_budget",
    }
)
_PROMPT_CACHE: Final = frozenset(
    {"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"}
)

CHAT: Final = (
    _SAMPLING
    | _REASONING
    | _PROMPT_CACHE
    | {
        "add_generation_prompt",
        "audio",
        "chat_template_kwargs",
        "continue_final_message",
        "function_call",
        "functions",
        "logprobs",
        "max_completion_tokens",
        "messages",
        "modalities",
        "model",
        "moderation",
        "parallel_tool_calls",
        "prediction",
        "response_format",
        "safe_prompt",
        "service_tier",
        "stream",
        "stream_options",
        "tool_choice",
        "tools",
        "top_logprobs",
        "verbosity",
        "web_search_options",
    }
)
COMPLETIONS: Final = _SAMPLING | {
    "best_of",
    "echo",
    "logprobs",
    "model",
    "prompt",
    "response_format",
    "stream",
    "stream_options",
    "suffix",
}
EMBEDDINGS: Final = frozenset(
    {
        "dimensions",
        "embedding_type",
        "encoding_format",
        "input",
        "input_type",
        "model",
        "normalized",
        "output_dimension",
        "output_dtype",
        "task",
        "truncate",
        "truncate_prompt_tokens",
        "truncation",
    }
)
RESPONSES: Final = (
    _PROMPT_CACHE
    | _REASONING
    | {
        "context_management",
        "image",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
    }
)
MESSAGES: Final = frozenset(
    {
        "cache_control",
        "context_management",
        "max_tokens",
        "mcp_servers",
        "messages",
        "model",
        "output_config",
        "output_format",
        "service_tier",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
IMAGES: Final = frozenset(
    {
        "aspect_ratio",
        "background",
        "complexity",
        "frame_count",
        "frame_duration_ms",
        "guidance_scale",
        "model",
        "moderation",
        "n",
        "negative_prompt",
        "num_inference_steps",
        "output_compression",
        "output_format",
        "partial_images",
        "prompt",
        "quality",
        "response_format",
        "seed",
        "size",
        "stream",
        "style",
        "svg",
    }
)
SPEECH: Final = frozenset(
    {
        "input",
        "instructions",
        "model",
        "response_format",
        "speed",
        "stream_format",
        "voice",
    }
)
MODERATIONS: Final = frozenset({"input", "model"})
RERANK: Final = frozenset(
    {
        "documents",
        "instruction",
        "max_chunks_per_doc",
        "max_tokens_per_doc",
        "model",
        "query",
        "rank_fields",
        "return_documents",
        "top_k",
        "top_n",
        "truncation",
    }
)
# Of the multipart form. SDKs write lists as ``name[]`` and objects as ``name[member]``.
TRANSCRIPTIONS: Final = frozenset(
    {
        "chunking_strategy",
        "chunking_strategy[prefix_padding_ms]",
        "chunking_strategy[silence_duration_ms]",
        "chunking_strategy[threshold]",
        "chunking_strategy[type]",
        "file",
        "include",
        "include[]",
        "keywords",
        "keywords[]",
        "known_speaker_names",
        "known_speaker_names[]",
        "known_speaker_references",
        "known_speaker_references[]",
        "language",
        "languages",
        "languages[]",
        "model",
        "prompt",
        "response_format",
        "stream",
        "temperature",
        "timestamp_granularities",
        "timestamp_granularities[]",
    }
)
