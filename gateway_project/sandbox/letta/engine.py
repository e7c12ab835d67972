"""Plays a turn: asks the model, runs tools, writes the thread, tells the readers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway_project.sandbox.letta import approvals, messages, steps, threads
from gateway_project.sandbox.letta.asking import ask, prompt_of
from gateway_project.sandbox.letta.problems import DetailError, ModelError, ProblemError
from gateway_project.sandbox.letta.tool_runs import use_tool
from gateway_project.sandbox.letta.turns import DONE, frame

if TYPE_CHECKING:
    from gateway_project.sandbox.letta.model import Delta
    from gateway_project.sandbox.letta.store import Row
    from gateway_project.sandbox.letta.turns import Turn
    from gateway_project.sandbox.letta.world import World

logger = logging.getLogger(__name__)

_FAILED: Final = "An error occurred during agent execution."


@dataclass(slots=True)
class _Answer:
    """What the model has said so far in one step."""

    text: str = ""
    call_id: str = ""
    call_name: str = ""
    arguments: str = ""

    def take(self, delta: Delta) -> None:
        self.text += delta.text
        self.arguments += delta.arguments
        self.call_name = self.call_name or delta.call_name
        self.call_id = self.call_id or delta.call_id


async def play(world: World, turn: Turn) -> None:
    """Run a turn to its end, whatever happens to its readers."""
    turn.begin()
    try:
        if turn.decision:
            await approvals.decide(world, turn, turn.decision)
        approvals.refuse_while_pending(turn.agent, turn.conversation_id)
        await _converse(world, turn)
    except ProblemError as exc:
        _fail(turn, exc)
    except Exception:  # the outermost frame of a background task
        logger.exception("turn failed")
        _fail(turn, DetailError(500, "An unknown error occurred"))
    else:
        _complete(turn)
    finally:
        turn.log.close()
        turn.finished.set()


async def _converse(world: World, turn: Turn) -> None:
    for _ in range(turn.max_steps):
        step = steps.begin(world.store, turn)
        threads.assign(turn, step["id"])
        try:
            goes_on = await _take_step(world, turn, step)
        except ProblemError:
            steps.finish(step, status="failed", stop_reason="llm_api_error")
            raise
        steps.finish(step, status="success", stop_reason=turn.stop_reason)
        if not goes_on or not turn.active:
            return
    turn.stop_reason = "max_steps"


async def _take_step(world: World, turn: Turn, step: Row) -> bool:
    """Ask the model once and do what it says. Return whether it has to be asked again."""
    said = messages.message("assistant_message", run_id=turn.run["id"], step_id=step["id"])
    answer, prompt = _Answer(), prompt_of(world, turn)
    turn.usage.step_count += 1
    turn.usage.detailed = not prompt.stream
    async for delta in ask(world, turn.actor, prompt):
        answer.take(delta)
        _stream(turn, said, delta, answer.call_id)
        if delta.prompt_tokens:
            turn.usage.add(delta.prompt_tokens, delta.completion_tokens)
            steps.count(step, delta)
    steps.trace(step, prompt, answer.text)
    if not turn.active:
        return False
    if answer.call_name:
        return await _act(world, turn, said, answer)
    if answer.text:
        _tell(world, turn, said | {"content": answer.text})
    return False


async def _act(world: World, turn: Turn, said: Row, answer: _Answer) -> bool:
    """Run the tool that the model asks for, unless a person has to allow it first."""
    call = messages.tool_call(answer.call_name, answer.arguments, answer.call_id)
    if approvals.is_needed(world, turn.agent, answer.call_name):
        approvals.request(world, turn, said | call)
        return False
    _tell(world, turn, said | call | {"message_type": "tool_call_message"})
    await use_tool(world, turn, said["step_id"], call["tool_call"])
    return True


def _tell(world: World, turn: Turn, row: Row) -> None:
    """Put a message into the thread; readers of tokens have had it already."""
    threads.produce(world.store, turn, row)
    if not turn.stream_tokens:
        turn.send(row)


def _stream(turn: Turn, said: Row, delta: Delta, call_id: str) -> None:
    if not turn.stream_tokens:
        return
    if delta.text:
        turn.send(said | {"content": delta.text})
    elif delta.call_name or delta.arguments:
        part = {"name": delta.call_name} if delta.call_name else {"arguments": delta.arguments}
        part["tool_call_id"] = call_id
        kind = {"message_type": "tool_call_message"}
        turn.send(said | kind | {"tool_call": part, "tool_calls": part})


def _complete(turn: Turn) -> None:
    if not turn.active:
        return
    turn.end("completed", stop_reason=turn.stop_reason)
    turn.send({"message_type": "stop_reason", "stop_reason": turn.stop_reason})
    turn.send(turn.usage.as_message())
    turn.log.append(DONE)


def _fail(turn: Turn, problem: ProblemError) -> None:
    if not turn.active:
        return
    turn.failure = problem
    kind, message, detail = _told(problem)
    turn.end("failed", stop_reason="llm_api_error" if kind.startswith("llm") else "error")
    error = {
        "message_type": "error_message",
        "run_id": turn.run["id"],
        "error_type": kind,
        "message": message,
        "detail": detail,
        "seq_id": None,
    }
    turn.run["metadata"] = turn.run["metadata"] | {"error": error}
    turn.send({"message_type": "stop_reason", "stop_reason": turn.stop_reason})
    turn.log.append(b"event: error\n" + frame(error))
    if not turn.background:  # as the real server: readers of a failed background run get none
        turn.log.append(DONE)


def _told(problem: ProblemError) -> tuple[str, str, str]:
    """Return type, message and detail of the error frame for a problem."""
    if isinstance(problem, ModelError):
        return problem.kind, problem.message, problem.detail
    detail = problem.body.get("detail")
    if isinstance(detail, dict):
        return "internal_error", detail["message"], detail["message"]
    return "internal_error", _FAILED, str(detail)
