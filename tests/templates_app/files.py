"""Agent Files that tests begin with."""

from __future__ import annotations

import copy
import json
from typing import Any

_HELPER: dict[str, Any] = {
    "af_version": "1.0",
    "template": {"name": "helper", "version": "1.0.0", "description": "Answers questions."},
    "engine": {
        "model": "openai-proxy/stub-chat",
        "embedding": "openai/text-embedding-3-small",
        "hyperparams": {"context_window": 32000, "temperature": 0.3, "max_tokens": 1024},
    },
    "persona": {
        "system_prompt": "You help {{user_name}} in a {{tone}} tone.",
        "variables_schema": {
            "type": "object",
            "required": ["user_name"],
            "properties": {
                "user_name": {"type": "string", "minLength": 1, "maxLength": 40},
                "tone": {"type": "string", "enum": ["kind", "brisk"], "default": "kind"},
                "api_key": {"type": "string", "x-secret": True, "minLength": 8},
            },
        },
    },
    "memory_layout": {
        "blocks": [
            {"label": "human", "value": "Name: {{user_name}}", "limit": 2000},
            {"label": "rules", "value": "Be brief.", "read_only": True, "description": "Rules."},
        ]
    },
    "tools": ["archival_memory_search", "conversation_search"],
    "tool_env": {"API_KEY": "{{api_key}}"},
    "init_messages": [{"role": "assistant", "content": "Hello, {{user_name}}."}],
}


def agent_file(name: str = "helper", version: str = "1.0.0", **sections: Any) -> dict[str, Any]:
    """Return a valid file; ``sections`` go over its own, None removes one."""
    document = copy.deepcopy(_HELPER)
    document["template"] |= {"name": name, "version": version}
    document |= copy.deepcopy(sections)
    return {section: value for section, value in document.items() if value is not None}


def with_prompt(prompt: str, **variables: Any) -> dict[str, Any]:
    """Return a valid file that has this prompt and declares these variables only."""
    schema = {"type": "object", "properties": variables}
    return agent_file(
        persona={"system_prompt": prompt, "variables_schema": schema},
        memory_layout=None,
        tool_env=None,
        init_messages=None,
    )


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()
