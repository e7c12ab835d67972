"""Every other kind of model route, with the official SDK where it has it, else with plain HTTP."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.models import PRICED, say

if TYPE_CHECKING:
    import httpx
    import openai

SOUND = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(2000)


def test_completes_text(alice_llm: openai.OpenAI) -> None:
    answer = alice_llm.completions.create(model=PRICED, prompt="Say hello")

    assert answer.choices[0].text == "Hello from the stub."


def test_embeds_one_text_and_several(alice_llm: openai.OpenAI) -> None:
    one = alice_llm.embeddings.create(model="emb", input="sky")
    two = alice_llm.embeddings.create(model="text-embedding-3-small", input=["sky", "sea"])

    assert one.data[0].embedding == pytest.approx([0.1, 0.2, 0.3])
    assert [len(item.embedding) for item in two.data] == [1536, 1536]
    assert two.data[0].embedding != two.data[1].embedding


def test_lists_models(alice_llm: openai.OpenAI) -> None:
    names = {model.id for model in alice_llm.models.list()}

    assert names >= {"gpt-4o-mini", "stub-chat", "emb"}


def test_creates_a_response(alice_llm: openai.OpenAI) -> None:
    answer = alice_llm.responses.create(model=PRICED, input="hi")

    assert (answer.output_text, answer.status) == ("Hello", "completed")


def test_streams_a_response(alice_llm: openai.OpenAI) -> None:
    events = [
        event.type for event in alice_llm.responses.create(model=PRICED, input="hi", stream=True)
    ]

    assert events[0] == "response.created"
    assert "response.output_text.delta" in events
    assert events[-1] == "response.completed"


def test_moderates(alice_llm: openai.OpenAI) -> None:
    answer = alice_llm.moderations.create(model="mod", input="hi")

    assert [result.flagged for result in answer.results] == [False]


def test_draws_an_image(alice_llm: openai.OpenAI) -> None:
    answer = alice_llm.images.generate(model="img", prompt="a hill")

    assert base64.b64decode((answer.data or [])[0].b64_json or "") == b"hi"


def test_speaks(alice_llm: openai.OpenAI) -> None:
    sound = alice_llm.audio.speech.create(model="tts", input="hi", voice="alloy")

    assert sound.read() == b"ID3fakeaudio" * 100
    assert sound.response.headers["content-type"] == "audio/mpeg"


def test_transcribes(alice_llm: openai.OpenAI) -> None:
    answer = alice_llm.audio.transcriptions.create(model="stt", file=("talk.wav", SOUND))

    assert answer.text == "hello world"


def test_ranks(alice_http: httpx.Client) -> None:
    answer = alice_http.post(
        "/api/v1/llm/rerank", json={"model": "rr", "query": "q", "documents": ["a", "b"]}
    )

    assert answer.json()["results"] == [{"index": 0, "relevance_score": 0.9}]


def test_speaks_the_language_of_anthropic(alice_http: httpx.Client) -> None:
    answer = alice_http.post(
        "/api/v1/llm/v1/messages",
        json={"model": PRICED, "max_tokens": 20, "messages": say("hi")},
    ).json()

    assert (answer["type"], answer["role"]) == ("message", "assistant")
    assert answer["content"][0]["text"] == "Hello"


def test_streams_in_the_language_of_anthropic(alice_http: httpx.Client) -> None:
    answer = alice_http.post(
        "/api/v1/llm/v1/messages",
        json={"model": PRICED, "max_tokens": 20, "messages": say("hi"), "stream": True},
    )

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("event: message_start\n")
    assert "event: message_stop\n" in answer.text
