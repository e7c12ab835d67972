"""What the gateway refuses by itself, as the official SDKs show it: their class, our code."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import letta_client
import openai
import pytest

from tests.end_to_end.models import PRICED, say
from tests.end_to_end.people import Person

if TYPE_CHECKING:
    from tests.end_to_end.people import Clients, Supabase

NOBODY = "00000000-0000-0000-0000-000000000000"
MISSING_AGENT = "agent-00000000-0000-4000-8000-00000000dead"


def code_of(error: letta_client.APIStatusError) -> Any:
    """Return our code: Letta's SDK keeps the whole body."""
    assert isinstance(error.body, dict)
    return error.body["code"]


@pytest.fixture
def expired(supabase: Supabase) -> Person:
    now = int(time.time())
    return supabase.sign_up("late", iat=now - 7200, exp=now - 3600)


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "sb_publishable_x_y", "sk-master-1234"])
def test_refuses_a_bad_token(clients: Clients, token: str) -> None:
    mallory = Person(NOBODY, "", token)

    with pytest.raises(openai.AuthenticationError) as chat:
        clients.openai(mallory).chat.completions.create(model=PRICED, messages=say("hi"))
    with pytest.raises(letta_client.AuthenticationError) as agents:
        clients.letta(mallory).agents.list()

    assert chat.value.code == code_of(agents.value) == "caller_token_invalid"
    assert 'error="invalid_token"' in chat.value.response.headers["www-authenticate"]


def test_refuses_an_expired_token(clients: Clients, expired: Person) -> None:
    with pytest.raises(openai.AuthenticationError) as chat:
        clients.openai(expired).models.list()
    with pytest.raises(letta_client.AuthenticationError) as agents:
        clients.letta(expired).agents.list()

    assert chat.value.code == code_of(agents.value) == "caller_token_expired"


def test_refuses_a_request_without_a_token(clients: Clients) -> None:
    for path in ("/api/v1/llm/v1/models", "/api/v1/letta/v1/agents/"):
        answer = clients.http().get(path)

        assert answer.status_code == 401
        assert answer.json()["code"] == "caller_token_missing"
        assert "error=" not in answer.headers["www-authenticate"]


def test_refuses_a_path_that_the_gateway_does_not_know(clients: Clients, alice: Person) -> None:
    with pytest.raises(openai.NotFoundError) as chat:
        clients.openai(alice).post("/chat/nonsense", cast_to=object, body={})
    with pytest.raises(letta_client.PermissionDeniedError) as agents:
        clients.letta(alice).get("/v1/nonsense", cast_to=object)

    assert chat.value.code == "caller_not_found"
    assert code_of(agents.value) == "policy_operation_not_offered"


def test_says_that_there_is_no_such_agent(clients: Clients, alice: Person) -> None:
    with pytest.raises(letta_client.NotFoundError) as caught:
        clients.letta(alice).agents.retrieve(MISSING_AGENT)

    assert code_of(caught.value) == "caller_not_found"


def test_refuses_a_body_that_is_not_json(clients: Clients, alice: Person) -> None:
    with pytest.raises(openai.BadRequestError) as chat:
        clients.openai(alice).post("/chat/completions", cast_to=object, content=b'{"model": "gp')
    with pytest.raises(letta_client.BadRequestError) as agents:
        clients.letta(alice).post("/v1/agents/", cast_to=object, content=b'{"name": "gp')

    assert chat.value.code == code_of(agents.value) == "caller_request_malformed"


def test_refuses_a_field_of_the_wrong_type(clients: Clients, alice: Person) -> None:
    with pytest.raises(letta_client.UnprocessableEntityError) as caught:
        clients.letta(alice).post("/v1/agents/", cast_to=object, body={"memory_blocks": 3})

    assert code_of(caught.value) == "caller_field_invalid"
    assert "memory_blocks" in caught.value.response.text


def test_refuses_a_body_that_is_too_large(clients: Clients, alice: Person) -> None:
    with pytest.raises(letta_client.APIStatusError) as caught:
        clients.letta(alice).agents.create(name="x", system="x" * 2_000_000)

    assert (caught.value.status_code, code_of(caught.value)) == (413, "caller_body_too_large")


def test_names_the_request_in_every_error(clients: Clients, alice: Person) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        clients.openai(alice).post("/chat/nonsense", cast_to=object, body={})

    body = caught.value.response.json()
    assert body["request_id"] == caught.value.request_id
    assert caught.value.response.headers["content-type"] == "application/problem+json"
