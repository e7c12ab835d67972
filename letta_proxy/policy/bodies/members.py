"""What stands in several bodies."""

from __future__ import annotations

from typing import Final

from letta_proxy.policy.rules import (
    Anything,
    Dropped,
    EmbeddingHandle,
    Fields,
    ModelHandle,
    Refused,
    Text,
    Whole,
)

ANY: Final = Anything()
DROPPED: Final = Dropped()
TEXT: Final = Text()
# What Letta's INTEGER columns hold. It keeps a larger context window, and then fails at each turn
# (measured).
_MOST: Final = 2**31 - 1
NUMBER: Final = Whole(minimum=-_MOST - 1, maximum=lambda: _MOST)
CHUNK: Final = Whole(minimum=1, maximum=lambda: _MOST)
# Like openai-proxy/gpt-4o-mini and openai/text-embedding-3-small.
MODEL: Final = ModelHandle()
EMBEDDING: Final = EmbeddingHandle()
USE_EMBEDDING: Final = Refused("Name an embedding model in `embedding` instead.")
NO_PROJECTS: Final = Refused("Projects and Letta's own templates are not used here.")

MODEL_SETTINGS: Final = Fields(
    fields=dict.fromkeys(
        (
            "effort",
            "parallel_tool_calls",
            "provider_type",
            "reasoning",
            "response_format",
            "response_schema",
            "strict",
            "temperature",
            "thinking",
            "thinking_config",
            "tool_call_parser",
            "verbosity",
        ),
        ANY,
    )
    | {"max_output_tokens": NUMBER}
)
COMPACTION: Final = Fields(
    fields={
        "model": MODEL,
        "model_settings": MODEL_SETTINGS,
        "prompt": ANY,
        "prompt_acknowledgement": ANY,
        "clip_chars": NUMBER,
        "mode": ANY,
        "sliding_window_percentage": ANY,
    }
)
