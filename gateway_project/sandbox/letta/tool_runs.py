"""What an agent's tools do: memory is really edited, code is only recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway_project.sandbox.letta import embeddings, messages, shapes, threads
from gateway_project.sandbox.letta.agents import default_archive

if TYPE_CHECKING:
    from gateway_project.sandbox.letta.store import Row
    from gateway_project.sandbox.letta.turns import Turn
    from gateway_project.sandbox.letta.world import World


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave. ``stderr`` is None when it succeeded."""

    text: str
    stderr: list[str] | None = None

    @property
    def status(self) -> str:
        """``success`` or ``error``."""
        return "error" if self.stderr else "success"


def find_tool(world: World, agent: Row, name: str) -> Row | None:
    """Return an agent's tool. It may be another organization's, as on the real server."""
    tools = (world.store.anyones("tools", tool_id) for tool_id in agent["_tool_ids"])
    return next((tool for tool in tools if tool and tool["name"] == name), None)


async def run_tool(world: World, turn: Turn, name: str, arguments: str) -> ToolResult:
    """Run one of the agent's tools."""
    tool = find_tool(world, turn.agent, name)
    if tool is None:
        return _failed(name, f"ValueError: Tool {name} not found in agent {turn.agent['id']}")
    given, fault = _checked(tool, arguments)
    if fault:
        return _failed(name, fault)
    if tool["source_code"]:
        world.outside.note_execution(tool["source_code"], why=f"tool {name}", actor=turn.actor)
        return ToolResult(f"executed {name}")
    try:
        return ToolResult(await _built_in(world, turn, name, given))
    except KeyError as exc:
        return _failed(name, f"KeyError: {exc}")


async def use_tool(world: World, turn: Turn, step_id: str | None, call: Row) -> None:
    """Run a tool and put what it returned into the thread."""
    result = await run_tool(world, turn, call["name"], call["arguments"])
    returned = messages.tool_return(
        call["tool_call_id"], result.text, status=result.status, stderr=result.stderr
    )
    row = messages.message(
        "tool_return_message",
        run_id=turn.run["id"],
        step_id=step_id,
        name=call["name"],
        **returned,
    )
    threads.produce(world.store, turn, row)
    turn.send(row)


async def _built_in(world: World, turn: Turn, name: str, given: dict[str, Any]) -> str:
    match name:
        case "memory_insert" | "core_memory_append":
            added = given.get("new_string") or given.get("content") or ""
            return _edit(world, turn.agent, given["label"], append=added)
        case "memory_replace" | "core_memory_replace":
            old = given.get("old_string") or given.get("old_content") or ""
            new = given.get("new_string") or given.get("new_content") or ""
            return _edit(world, turn.agent, given["label"], replace=(old, new))
        case "archival_memory_insert":
            return await _insert(world, turn, given)
        case _:
            return f"{name} found nothing."


def _edit(
    world: World,
    agent: Row,
    label: str,
    *,
    append: str = "",
    replace: tuple[str, str] = ("", ""),
) -> str:
    for block_id in agent["_block_ids"]:
        block = world.store.anyones("blocks", block_id)
        if block and block["label"] == label:
            text = block["value"].replace(*replace) if replace[0] else block["value"]
            block["value"] = f"{text}\n{append}".strip() if append else text
            return f"The core memory block with label `{label}` has been edited."
    raise KeyError(f"Block field {label} does not exist (available sections = )")


async def _insert(world: World, turn: Turn, given: dict[str, Any]) -> str:
    config = turn.agent["embedding_config"]
    vector = await embeddings.embed(world, config, given["content"], turn.actor)
    archive = default_archive(world.store, turn.agent, turn.actor)
    row = shapes.passage(
        given["content"], config, vector, turn.actor, archive_id=archive["id"], tags=[]
    )
    world.store.add("passages", row, turn.actor)
    return f"Memory inserted with id {row['id']}."


def _checked(tool: Row, arguments: str) -> tuple[dict[str, Any], str]:
    """Return the parsed arguments, and what is wrong with them."""
    try:
        given = json.loads(arguments or "{}")
    except ValueError:
        return {}, f"ValueError: arguments of {tool['name']} are not JSON"
    parameters = tool["json_schema"]["parameters"]
    for name in given:
        if tool["tool_type"] != "custom" and name not in parameters["properties"]:
            signature = f"LettaCoreToolExecutor.{tool['name']}()"
            return {}, f"TypeError: {signature} got an unexpected keyword argument '{name}'"
    for name in parameters.get("required", []):
        if name not in given:
            signature = f"LettaCoreToolExecutor.{tool['name']}()"
            return {}, f"TypeError: {signature} missing 1 required argument: '{name}'"
    return given, ""


def _failed(name: str, fault: str) -> ToolResult:
    text = fault.partition(": ")[2]
    return ToolResult(text, stderr=[f"Error executing function {name}: {fault}"])
