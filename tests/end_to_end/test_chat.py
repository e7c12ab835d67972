from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.models import PRICED, say

if TYPE_CHECKING:
    import openai
    from openai.types.chat import ChatCompletionToolParam

    from tests.end_to_end.people import Clients, Person

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


def test_answers_with_usage(alice_llm: openai.OpenAI) -> None:
    answer = alice_llm.chat.completions.create(model=PRICED, messages=say("hi"))

    assert answer.choices[0].message.content == "Hello from the stub."
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 20)


def test_passes_the_conversation_on_as_it_is(alice_llm: openai.OpenAI) -> None:
    answer = alice_llm.chat.completions.create(model="stub-chat", messages=say("Grüße, 世界 🌍"))

    assert answer.choices[0].message.content == "stub says: Grüße, 世界 🌍"


def test_calls_a_tool_when_the_model_wants_to(alice_llm: openai.OpenAI) -> None:
    answer = alice_llm.chat.completions.create(
        model="stub-chat", messages=say('TOOL:weather {"city": "Oslo"}'), tools=[WEATHER]
    )

    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Oslo"}')


def test_streams_with_usage_when_asked_for_it(alice_llm: openai.OpenAI) -> None:
    stream = alice_llm.chat.completions.create(
        model="stub/s-n7", messages=say("hi"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "tok " * 7
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    assert [usage.total_tokens for usage in usages] == [30]
    assert chunks[-1].choices == []


def test_streams_without_usage_when_not_asked_for_it(alice_llm: openai.OpenAI) -> None:
    chunks = list(
        alice_llm.chat.completions.create(model="stub/s-n3", messages=say("hi"), stream=True)
    )

    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


@pytest.mark.parametrize("base", ["/api/v1/llm", "/api/v1/llm/", "/api/v1/llm/v1/"])
def test_answers_whatever_way_the_address_is_written(
    clients: Clients, alice: Person, base: str
) -> None:
    answer = clients.openai(alice, base=base).chat.completions.create(
        model=PRICED, messages=say("hi")
    )

    assert answer.choices[0].message.content == "Hello from the stub."


async def test_answers_and_streams_to_the_asynchronous_client(
    clients: Clients, alice: Person
) -> None:
    async with clients.async_openai(alice) as client:
        answer = await client.chat.completions.create(model=PRICED, messages=say("hi"))
        stream = await client.chat.completions.create(
            model="stub/s-n5", messages=say("hi"), stream=True
        )
        words = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert answer.choices[0].message.content == "Hello from the stub."
    assert "".join(words) == "tok " * 5
