"""Letta messages: what an agent's thread consists of and what streams carry."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from gateway_project.sandbox.letta.ids import message_date, new_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway_project.sandbox.letta.store import Row

_ROLES: Final = {
    "system_message": "system",
    "user_message": "user",
    "assistant_message": "assistant",
    "tool_call_message": "assistant",
    "approval_request_message": "assistant",
    "tool_return_message": "tool",
}
# How much of a thread the model sees.
_PROMPT_MESSAGES: Final = 60


def message(
    kind: str, *, run_id: str | None, step_id: str | None, name: str | None = None, **content: Any
) -> Row:
    """Return a message of a ``message_type`` with its particular members."""
    message_id = new_id("message")
    return {
        "id": message_id,
        "date": message_date(),
        "name": name,
        "message_type": kind,
        "otid": _otid(message_id),
        "sender_id": None,
        "step_id": step_id,
        "is_err": None,
        "seq_id": None,
        "run_id": run_id,
        **content,
    }


def ping(run_id: str) -> Row:
    """Return the message that opens a stream and keeps a silent one alive."""
    row = message("ping", run_id=run_id, step_id=None)
    return row | {"id": row["id"].replace("message-", "ping-"), "otid": None}


def tool_call(name: str, arguments: str, call_id: str) -> Row:
    """Return the members of a message that calls one tool."""
    call = {"name": name, "arguments": arguments, "tool_call_id": call_id}
    return {"tool_call": call, "tool_calls": [call]}


def tool_return(call_id: str, text: str, *, status: str, stderr: list[str] | None) -> Row:
    """Return the members of a message with what one tool gave."""
    result = {
        "tool_return": text,
        "status": status,
        "tool_call_id": call_id,
        "stdout": None if stderr else [],
        "stderr": stderr or [],
    }
    return {**result, "tool_returns": [{"type": "tool", **result}]}


def text_of(content: object) -> str:
    """Return the text of a message's content, which is text or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(str(p.get("text", "")) for p in parts if isinstance(p, dict))


def as_prompt(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return a thread as messages of an OpenAI chat completion."""
    thread = list(rows)
    kept = thread[:1] + thread[1:][-_PROMPT_MESSAGES:]
    return [_prompt_message(row) for row in kept if row["message_type"] in _ROLES]


def _prompt_message(row: Row) -> dict[str, Any]:
    role = _ROLES[row["message_type"]]
    if row["message_type"] == "tool_return_message":
        return {"role": role, "tool_call_id": row["tool_call_id"], "content": _packed(row)}
    if call := row.get("tool_call"):
        function = {"name": call["name"], "arguments": call["arguments"]}
        entry = {"id": call["tool_call_id"], "type": "function", "function": function}
        return {"role": role, "content": None, "tool_calls": [entry]}
    return {"role": role, "content": row["content"]}


def _packed(row: Row) -> str:
    """Return a tool's answer in the envelope in which the real server shows it to the model."""
    status = "OK" if row["status"] == "success" else "Failed"
    time = datetime.fromisoformat(row["date"]).strftime("%Y-%m-%d %I:%M:%S %p UTC%z")
    return json.dumps({"status": status, "message": row["tool_return"], "time": time}, indent=2)


def _otid(message_id: str) -> str:
    """Return the offline id: the message's uuid with its last seven bits cleared."""
    plain = message_id.removeprefix("message-")
    return f"{plain[:-2]}{int(plain[-2:], 16) & 0x80:02x}"
