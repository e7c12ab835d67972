"""What callers say about who pays and where a call goes never reaches LiteLLM."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import openai
import pytest

from tests.end_to_end.models import PRICED, say

if TYPE_CHECKING:
    from tests.end_to_end.people import Person
    from tests.end_to_end.upstream_views import LiteLLMAdmin, StubLog

ROUTING = {
    "api_base": "http://127.0.0.1:9/v1",
    "base_url": "http://127.0.0.1:9/v1",
    "api_key": "sk-stolen",
    "api_version": "2020-01-01",
    "custom_llm_provider": "anthropic",
    "extra_headers": {"authorization": "Bearer sk-stolen"},
    "fallbacks": ["mock-gpt"],
    "litellm_metadata": {"tags": ["x"]},
    "litellm_session_id": "x",
    "mock_response": "free lunch",
    "tags": ["x"],
    "proxy_server_request": {},
    "user_config": {"model_list": []},
}


def test_keeps_user_and_metadata_of_the_caller_to_itself(
    alice_llm: openai.OpenAI,
    alice: Person,
    fast_stub: StubLog,
    litellm_admin: LiteLLMAdmin,
    mark: str,
) -> None:
    answer = alice_llm.chat.completions.create(
        model=PRICED, messages=say(mark), user="mallory", metadata={"team": "mallory"}, seed=7
    )

    arrived = json.loads(fast_stub.find(mark)["body"])
    assert arrived["seed"] == 7
    assert not {"user", "metadata"} & set(arrived)
    row = litellm_admin.spend_log(answer.id)
    assert row["user"] == alice.id
    assert "mallory" not in json.dumps(row)


@pytest.mark.parametrize("field", sorted(ROUTING))
def test_refuses_a_field_that_would_route_the_call(
    alice_llm: openai.OpenAI, fast_stub: StubLog, mark: str, field: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        alice_llm.chat.completions.create(
            model=PRICED, messages=say(mark), extra_body={field: ROUTING[field]}
        )

    assert caught.value.code == "policy_field_forbidden"
    assert caught.value.param == field
    with pytest.raises(LookupError):
        fast_stub.find(mark)


def test_keeps_headers_of_the_caller_to_itself(
    alice_llm: openai.OpenAI, alice: Person, litellm_admin: LiteLLMAdmin
) -> None:
    answer = alice_llm.chat.completions.create(
        model=PRICED,
        messages=say("hi"),
        extra_headers={
            "x-api-key": "sk-stolen",
            "api-key": "sk-stolen",
            "x-litellm-api-key": "Bearer sk-stolen",
            "x-litellm-tags": "mallory",
            "x-litellm-end-user-id": "mallory",
            "cookie": "session=mallory",
        },
    )

    row = litellm_admin.spend_log(answer.id)
    assert row["user"] == alice.id
    assert "mallory" not in json.dumps(row)


def test_shows_nothing_of_the_inside_in_its_answer(alice_llm: openai.OpenAI) -> None:
    answer = alice_llm.chat.completions.with_raw_response.create(model=PRICED, messages=say("hi"))

    names = {name.lower() for name in answer.headers}
    assert "x-request-id" in names
    assert not {name for name in names if name.startswith(("llm_provider", "x-litellm-model"))}
    assert not {"x-litellm-key-spend", "server", "openai-organization"} & names
