"""The tools that every organization gets from ``POST /v1/tools/add-base-tools``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway_project.sandbox.letta.ids import new_id

if TYPE_CHECKING:
    from gateway_project.sandbox.letta.store import Actor, Row, Store

# Those that an agent has when ``include_base_tools`` is not switched off.
AGENT_TOOLS: Final = ("conversation_search", "memory_insert", "memory_replace")
# Those that an agent gets with its first folder.
FILE_TOOLS: Final = ("open_files", "grep_files", "semantic_search_files")

# Name, type, and the parameters; those before the semicolon are required.
_CATALOGUE: Final = (
    ("rethink_user_memory", "letta_voice_sleeptime_core", "new_memory;"),
    ("archival_memory_insert", "letta_core", "content;tags"),
    ("archival_memory_search", "letta_core", "query;tags,top_k"),
    ("conversation_search", "letta_core", ";query,roles,limit,start_date,end_date"),
    ("core_memory_append", "letta_memory_core", "label,content;"),
    ("run_code", "letta_builtin", "code,language;"),
    ("run_code_with_tools", "letta_builtin", "code;"),
    ("core_memory_replace", "letta_memory_core", "label,old_content,new_content;"),
    ("fetch_webpage", "letta_builtin", "url;"),
    ("finish_rethinking_memory", "letta_voice_sleeptime_core", ";"),
    ("grep_files", "letta_files_core", "pattern;include,context_lines,offset"),
    ("memory", "letta_memory_core", "command;path,new_string,old_string"),
    ("memory_apply_patch", "letta_memory_core", "label,patch;"),
    ("memory_finish_edits", "letta_sleeptime_core", ";"),
    ("memory_insert", "letta_sleeptime_core", "label,new_string;insert_line"),
    ("memory_replace", "letta_sleeptime_core", "label,old_string,new_string;"),
    ("memory_rethink", "letta_sleeptime_core", "label,new_memory;"),
    ("open_files", "letta_files_core", "file_requests;close_all_others"),
    ("search_memory", "letta_voice_sleeptime_core", ";convo_keyword_queries,start_minutes_ago"),
    ("semantic_search_files", "letta_files_core", "query;limit"),
    ("send_message", "letta_core", "message;"),
    ("send_message_to_agent_and_wait_for_reply", "letta_multi_agent_core", "message,agent_id;"),
    ("send_message_to_agent_async", "letta_multi_agent_core", "message,agent_id;"),
    ("send_message_to_agents_matching_tags", "letta_multi_agent_core", "message,match_all;"),
    ("store_memories", "letta_voice_sleeptime_core", "chunks;"),
    ("web_search", "letta_builtin", "query;num_results"),
)


def seed(store: Store, actor: Actor) -> list[Row]:
    """Give the actor's organization its base tools once, and return them."""
    present = {tool["name"]: tool for tool in store.own_rows("tools", actor)}
    return [
        present.get(name) or store.add("tools", _row(name, kind, parameters, actor), actor)
        for name, kind, parameters in _CATALOGUE
    ]


def custom(name: str, source_code: str, actor: Actor) -> Row:
    """Return the row of a tool with code of its own."""
    row = _shape(name, "custom", actor)
    return row | {
        "source_code": source_code,
        "args_json_schema": {},
        "metadata_": {"tool_hash": f"{abs(hash(source_code)):012x}"[:12]},
    }


def _row(name: str, kind: str, parameters: str, actor: Actor) -> Row:
    required, _, optional = parameters.partition(";")
    properties = [p for p in (*required.split(","), *optional.split(",")) if p]
    row = _shape(name, kind, actor)
    row["tags"] = [kind]
    row["json_schema"]["parameters"] = {
        "type": "object",
        "properties": {p: {"type": "string", "description": f"The {p}."} for p in properties},
        "required": [p for p in required.split(",") if p],
    }
    return row


def _shape(name: str, kind: str, actor: Actor) -> Row:
    description = f"The tool {name}."
    return {
        "id": new_id("tool"),
        "tool_type": kind,
        "description": description,
        "source_type": "python",
        "name": name,
        "tags": [],
        "source_code": None,
        "json_schema": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": {}, "required": []},
        },
        "args_json_schema": None,
        "return_char_limit": 50000,
        "pip_requirements": None,
        "npm_requirements": None,
        "default_requires_approval": None,
        "enable_parallel_execution": False,
        "created_by_id": actor.id,
        "last_updated_by_id": actor.id,
        "metadata_": {},
        "project_id": None,
    }
