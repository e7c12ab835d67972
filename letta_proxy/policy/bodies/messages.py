"""What is said to agents, and asked of them."""

from __future__ import annotations

from typing import Final

from django.conf import settings

from letta_proxy.models import Kind
from letta_proxy.policy.bodies.members import ANY, COMPACTION, DROPPED, MODEL, NUMBER, TEXT
from letta_proxy.policy.content import Content
from letta_proxy.policy.rules import Each, Fields, Id, Refused, Rule, Whole, ids

MESSAGE: Final = Fields(
    fields={
        "type": ANY,
        "role": ANY,
        "content": Content(),
        "name": ANY,
        "otid": ANY,
        "sender_id": TEXT,
        "group_id": Refused("Groups of agents are not offered here."),
        "batch_item_id": DROPPED,
        "approvals": Content(),
        "approve": ANY,
        "approval_request_id": TEXT,
        "reason": ANY,
        "tool_returns": Content(),
    }
)
_CLIENT_TOOL: Final = Fields(fields={"name": TEXT, "description": TEXT, "parameters": ANY})
_CLIENT_SKILL: Final = Fields(fields={"name": TEXT, "description": TEXT, "location": TEXT})
_SEND: Final[dict[str, Rule]] = {
    "messages": Each(MESSAGE),
    "input": Content(),
    "max_steps": Whole(minimum=1, maximum=lambda: settings.LETTA_MAX_STEPS),
    "use_assistant_message": ANY,
    "assistant_message_tool_name": ANY,
    "assistant_message_tool_kwarg": ANY,
    "include_return_message_types": ANY,
    "enable_thinking": ANY,
    "client_tools": Each(_CLIENT_TOOL, most=128),
    "client_skills": Each(_CLIENT_SKILL, most=128),
    "override_model": MODEL,
    "override_system": Refused("Set the agent's `system` instead."),
    "include_compaction_messages": ANY,
    "return_logprobs": ANY,
    "top_logprobs": NUMBER,
    "return_token_ids": ANY,
}
_STREAM: Final[dict[str, Rule]] = {
    "streaming": ANY,
    "stream_tokens": ANY,
    "include_pings": ANY,
    "background": ANY,
}
SEND: Final = Fields(fields=_SEND | _STREAM)
SEND_ASYNC: Final = Fields(
    fields=_SEND
    | {"callback_url": Refused("Poll the run with GET /v1/runs/{run_id} instead of a callback.")}
)
SEND_IN_CONVERSATION: Final = Fields(fields=_SEND | _STREAM | {"agent_id": Id(Kind.AGENT)})
CANCEL: Final = Fields(fields={"run_ids": ids(Kind.RUN)})
RESET: Final = Fields(fields={"add_default_initial_messages": ANY})
SUMMARIZE: Final = Fields(fields={"compaction_settings": COMPACTION})
GENERATE: Final = Fields(
    fields={"prompt": TEXT, "system_prompt": TEXT, "override_model": MODEL, "response_schema": ANY}
)
CHAT_COMPLETION: Final = Fields(
    fields={
        "model": Id(Kind.AGENT),
        "messages": Content(),
        "temperature": ANY,
        "top_p": ANY,
        "n": NUMBER,
        "stream": ANY,
        "stop": ANY,
        "max_tokens": NUMBER,
        "presence_penalty": ANY,
        "frequency_penalty": ANY,
        "user": DROPPED,
    },
    one_of=("model",),
)
