"""What goes wrong behind the gateway, as the official SDK shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai
import pytest

from tests.end_to_end.models import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.end_to_end.people import Person

SECRETS = ("127.0.0.1", "litellm", "LiteLLM", "sk-", "stub/")


@pytest.fixture
def llm(openai_client: Callable[[Person], openai.OpenAI], alice: Person) -> openai.OpenAI:
    return openai_client(alice).with_options(max_retries=0)


@pytest.mark.parametrize(
    ("model", "error", "status", "code"),
    [
        ("stub/err400", openai.BadRequestError, 400, "caller_field_invalid"),
        ("stub/err401", openai.InternalServerError, 502, "upstream_credential_rejected"),
        ("stub/err429", openai.InternalServerError, 503, "upstream_overloaded"),
        ("stub/err500", openai.InternalServerError, 502, "upstream_failed"),
        ("stub/err503", openai.InternalServerError, 502, "upstream_failed"),
    ],
)
def test_says_whose_fault_it_is_when_the_provider_fails(
    llm: openai.OpenAI, model: str, error: type[openai.APIStatusError], status: int, code: str
) -> None:
    with pytest.raises(error) as caught:
        llm.chat.completions.create(model=model, messages=say("hi"))

    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert not [secret for secret in SECRETS if secret in caught.value.response.text]


def test_says_that_there_is_no_such_model(llm: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        llm.chat.completions.create(model="no-such-model", messages=say("hi"))

    assert (caught.value.code, caught.value.param) == ("caller_not_found", "model")


def test_says_that_the_conversation_is_too_long(llm: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        llm.chat.completions.create(model="stub-chat", messages=say("CTX"))

    assert caught.value.code == "caller_context_too_long"


@pytest.mark.parametrize("model", ["stub/n9-miderr", "stub/n9-midfail"])
def test_raises_in_the_stream_when_the_provider_breaks_off(llm: openai.OpenAI, model: str) -> None:
    stream = llm.chat.completions.create(model=model, messages=say("hi"), stream=True)

    with pytest.raises(openai.APIError) as caught:
        list(stream)

    assert not [secret for secret in SECRETS if secret in str(caught.value.body)]
