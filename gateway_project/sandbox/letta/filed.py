"""A thread in an agent file: messages by role, as Letta stores them, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway_project.sandbox.letta import messages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway_project.sandbox.letta.store import Actor, Row, Store

_ROLES = {
    "system_message": "system",
    "user_message": "user",
    "assistant_message": "assistant",
    "tool_call_message": "assistant",
    "approval_request_message": "approval",
    "tool_return_message": "tool",
}
_KINDS = {"system": "system_message", "user": "user_message", "assistant": "assistant_message"}


def as_file(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return rows as the messages of an agent file, numbered."""
    kept = [row for row in rows if row["message_type"] in _ROLES]
    return [_filed(row) | {"id": f"message-{number}"} for number, row in enumerate(kept)]


def into_thread(store: Store, agent: Row, filed: Iterable[dict[str, Any]], actor: Actor) -> None:
    """Give an agent the messages of a file in place of its own."""
    agent["message_ids"] = []
    for message in filed:
        row = _row(message) | {"_agent_id": agent["id"], "_conversation_id": None}
        agent["message_ids"].append(store.add("messages", row, actor)["id"])


def _filed(row: Row) -> dict[str, Any]:
    filed: dict[str, Any] = {
        "role": _ROLES[row["message_type"]],
        "created_at": row["date"],
        "content": _parts(messages.text_of(row.get("content") or row.get("tool_return"))),
    }
    if call := row.get("tool_call"):
        function = {"name": call["name"], "arguments": call["arguments"]}
        filed["content"] = []
        filed["tool_calls"] = [
            {"id": call["tool_call_id"], "type": "function", "function": function}
        ]
    if filed["role"] == "tool":
        filed["tool_call_id"] = row["tool_call_id"]
    return filed


def _row(filed: dict[str, Any]) -> Row:
    text = messages.text_of(filed.get("content"))
    of_no_run: dict[str, Any] = {"run_id": None, "step_id": None}
    if calls := filed.get("tool_calls"):
        function = calls[0]["function"]
        call = messages.tool_call(function["name"], function["arguments"], calls[0]["id"])
        row = messages.message("tool_call_message", **of_no_run, **call)
    elif filed["role"] == "tool":
        given = messages.tool_return(filed["tool_call_id"], text, status="success", stderr=None)
        row = messages.message("tool_return_message", **of_no_run, **given)
    else:
        row = messages.message(_KINDS[filed["role"]], **of_no_run, content=text)
    return row | {"date": filed.get("created_at") or row["date"]}


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]
