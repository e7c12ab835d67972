from __future__ import annotations

from typing import TYPE_CHECKING, Any

import letta_client
import pytest

from tests.end_to_end.models import say
from tests.end_to_end.upstream_views import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable

    from letta_client import Letta
    from letta_client.types import AgentState


def text_of(events: Iterable[Any]) -> str:
    return "".join(event.content for event in events if event.message_type == "assistant_message")


def test_answers_with_usage(alice_letta: Letta, agent: AgentState) -> None:
    answer = alice_letta.agents.messages.create(agent.id, input="hi")

    assert text_of(answer.messages) == "stub says: hi"
    assert answer.usage.completion_tokens == 10
    assert answer.stop_reason.stop_reason == "end_turn"


def test_uses_a_tool_and_remembers(alice_letta: Letta, agent: AgentState) -> None:
    call = 'TOOL:memory_insert {"label": "human", "new_string": "Likes tea", "insert_line": 0}'
    answer = alice_letta.agents.messages.create(agent.id, input=call)

    kinds = [message.message_type for message in answer.messages]
    assert kinds == ["tool_call_message", "tool_return_message", "assistant_message"]
    block = alice_letta.agents.blocks.retrieve("human", agent_id=agent.id)
    assert "Likes tea" in block.value


def test_streams_tokens(alice_letta: Letta, agent: AgentState) -> None:
    events = list(
        alice_letta.agents.messages.create(
            agent.id, input="one two three", streaming=True, stream_tokens=True
        )
    )

    assert text_of(events) == "stub says: one two three"
    assert sum(event.message_type == "assistant_message" for event in events) > 3
    kinds = [event.message_type for event in events]
    assert kinds[-2:] == ["stop_reason", "usage_statistics"]


def test_streams_steps_on_the_path_of_older_clients(alice_letta: Letta, agent: AgentState) -> None:
    with pytest.deprecated_call():
        stream = alice_letta.agents.messages.stream(agent.id, messages=say("hi"))

    assert text_of(stream) == "stub says: hi"


def test_resumes_a_background_stream_without_a_gap(alice_letta: Letta, agent: AgentState) -> None:
    stream = alice_letta.agents.messages.create(
        agent.id, input="SLOW:12:0.05", streaming=True, stream_tokens=True, background=True
    )
    seen: list[Any] = []
    for event in stream:
        seen.append(event)
        if len(seen) == 5:
            break
    stream.response.close()
    run_id = seen[0].run_id

    rest = list(alice_letta.runs.messages.stream(run_id, starting_after=seen[-1].seq_id))

    assert text_of(seen) + text_of(rest) == " ".join(f"w{i}" for i in range(12))
    numbers = [event.seq_id for event in [*seen, *rest] if getattr(event, "seq_id", None)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert alice_letta.runs.retrieve(run_id).status == "completed"


def test_goes_on_in_the_background_and_tells_of_its_run(
    alice_letta: Letta, agent: AgentState
) -> None:
    started = alice_letta.agents.messages.create_async(agent.id, messages=say("hi"))

    def status() -> Any:
        return alice_letta.runs.retrieve(started.id).status

    assert eventually(status, lambda status: status == "completed") == "completed"
    assert started.id in {run.id for run in alice_letta.runs.list(agent_id=agent.id).items}
    messages = alice_letta.runs.messages.list(started.id).items
    assert text_of(messages) == "stub says: hi"
    assert len(alice_letta.runs.steps.list(started.id).items) == 1
    assert alice_letta.runs.usage.retrieve(started.id).completion_tokens == 10


def test_stops_a_run_when_it_is_cancelled(alice_letta: Letta, agent: AgentState) -> None:
    stream = iter(
        alice_letta.agents.messages.create(
            agent.id, input="SLOW:100:0.1", streaming=True, stream_tokens=True, background=True
        )
    )
    first: Any = next(stream)

    alice_letta.agents.messages.cancel(agent.id, run_ids=[first.run_id])

    events: list[Any] = list(stream)
    last = events[-1]
    assert (last.message_type, last.stop_reason) == ("stop_reason", "cancelled")
    assert alice_letta.runs.retrieve(first.run_id).status == "cancelled"


def test_cancels_what_is_no_longer_waited_for_and_nothing_else(
    alice_letta: Letta, agent: AgentState
) -> None:
    slow = "SLOW:100:0.1"
    going_on = alice_letta.agents.messages.create_async(agent.id, input=slow).id

    with pytest.raises(letta_client.APITimeoutError):
        alice_letta.with_options(max_retries=0, timeout=2).agents.messages.create(
            agent.id, input=slow
        )

    (left,) = {run.id for run in alice_letta.runs.list(agent_id=agent.id).items} - {going_on}
    status = eventually(
        lambda: alice_letta.runs.retrieve(left).status, lambda status: status == "cancelled"
    )
    assert status == "cancelled"
    assert alice_letta.runs.retrieve(going_on).status != "cancelled"


def test_lists_messages_and_forgets_them_when_asked(alice_letta: Letta, agent: AgentState) -> None:
    alice_letta.agents.messages.create(agent.id, input="hi")

    messages = alice_letta.agents.messages.list(agent.id, order="asc").items
    kinds = [message.message_type for message in messages]
    assert kinds == ["system_message", "user_message", "assistant_message"]

    state = alice_letta.agents.messages.reset(agent.id)
    assert state is not None
    assert len(state.message_ids or []) == 1


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("ERR:429", 503, "upstream_overloaded"),
        ("ERR:401", 502, "upstream_credential_rejected"),
        ("ERR:500", 502, "upstream_failed"),
        ("CTX", 400, "caller_context_too_long"),
    ],
)
def test_says_whose_fault_it_is_when_the_model_fails(
    alice_letta: Letta, agent: AgentState, text: str, status: int, code: str
) -> None:
    with pytest.raises(letta_client.APIStatusError) as caught:
        alice_letta.with_options(max_retries=0).agents.messages.create(agent.id, input=text)

    assert isinstance(caught.value.body, dict)
    assert (caught.value.status_code, caught.value.body["code"]) == (status, code)
    assert "127.0.0.1" not in caught.value.response.text


def test_raises_in_the_stream_when_the_model_fails(alice_letta: Letta, agent: AgentState) -> None:
    stream = alice_letta.agents.messages.create(agent.id, input="ERR:500", streaming=True)

    with pytest.raises(letta_client.APIStatusError):
        list(stream)
