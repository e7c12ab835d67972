from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import Running, RunningSupabase
from tests.timing import wait_until

SignIn = Callable[..., openai.OpenAI]
HI: Any = [{"role": "user", "content": "hi"}]


def body(model: str) -> dict[str, Any]:
    return {"model": model, "messages": HI, "stream": True}


def test_streams_with_usage_when_asked_for_it(openai_for: SignIn) -> None:
    chunks = list(
        openai_for().chat.completions.create(
            model="stub/s-n9", messages=HI, stream=True, stream_options={"include_usage": True}
        )
    )

    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "tok " * 9
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 30


def test_streams_without_usage_when_not_asked_for_it(openai_for: SignIn) -> None:
    stream = openai_for().chat.completions.create(model="stub/s-n3", messages=HI, stream=True)

    assert [chunk.usage for chunk in stream if chunk.usage] == []


def test_hands_on_every_piece_as_it_comes(openai_for: SignIn) -> None:
    began = time.monotonic()
    stream = openai_for().chat.completions.create(model="stub/s-n20-d40", messages=HI, stream=True)
    times = [time.monotonic() - began for _ in stream]

    assert times[2] < times[-1] / 2


def test_tells_proxies_not_to_buffer(gateway: str, supabase: RunningSupabase) -> None:
    answer = httpx.post(
        f"{gateway}/api/v1/llm/v1/chat/completions",
        headers={"authorization": f"Bearer {supabase.token()}"},
        json=body("stub/s-n3"),
    )

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.text.endswith("data: [DONE]\n\n")


def test_closes_the_upstream_within_a_second_of_the_clients_leaving(
    openai_for: SignIn, litellm: Running
) -> None:
    stream = openai_for().chat.completions.create(model="stub/s-n200-d20", messages=HI, stream=True)
    next(iter(stream))
    stream.close()
    assert wait_until(lambda: litellm.requests("^/v1/chat")[0]["client_left"]) < 1


@pytest.mark.parametrize("model", ["stub/s-n9-miderr", "stub/s-n9-midfail"])
def test_a_stream_that_fails_raises_in_the_sdk_and_tells_nothing_of_the_inside(
    openai_for: SignIn, model: str
) -> None:
    stream = openai_for().chat.completions.create(model=model, messages=HI, stream=True)
    with pytest.raises(openai.APIError) as caught:
        list(stream)

    said = str(caught.value.body)
    assert "upstream_interrupted" in said
    assert not [word for word in ("litellm", "LiteLLM", "stub/", "Exception") if word in said]


def test_a_stream_that_fails_before_it_begins_is_an_ordinary_error(openai_for: SignIn) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        openai_for().chat.completions.create(model="stub/err500", messages=HI, stream=True)

    assert caught.value.code == "upstream_failed"
