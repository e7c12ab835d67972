"""Letta's error answers, as a real server gave them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway_core import context
from gateway_core.errors import Code, GatewayError
from gateway_core.problem import as_problem
from gateway_core.proxy.exchange import Exchange
from letta_proxy.proxy import ROUTE
from letta_proxy.translate import translate
from tests.conftest import Running
from tests.letta_proxy.conftest import Caller

LLM_429 = (
    "RATE_LIMIT_EXCEEDED: Rate limited by OpenAI: Error code: 429 - {'error': {'message': "
    "'stub error 429', 'type': 'stub_error', 'code': 'rate_limit_exceeded'}}"
)
CONTEXT = (
    "CONTEXT_WINDOW_EXCEEDED: Bad request to OpenAI (context window exceeded): Error code: 400 - "
    "{'error': {'message': \"This model's maximum context length is 32000 tokens.\"}}"
)


def translated(status: int, body: Any, **headers: str) -> GatewayError:
    async def nothing(*_: Any) -> Any:
        raise AssertionError

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    record = replace(context.begin(scope))
    exchange = Exchange(ROUTE, scope, nothing, nothing, record, [])
    exchange.upstream_headers = headers
    return translate(exchange, status, body if isinstance(body, bytes) else orjson.dumps(body))


def llm(kind: str, detail: str = LLM_429) -> dict[str, Any]:
    return {"error": {"type": kind, "message": "An error occurred.", "detail": detail}}


@pytest.mark.parametrize(
    ("status", "body", "expected", "code"),
    [
        (401, {"detail": "Unauthorized"}, 502, Code.UPSTREAM_CREDENTIAL_REJECTED),
        (401, llm("llm_authentication"), 502, Code.UPSTREAM_CREDENTIAL_REJECTED),
        (403, {"detail": "Forbidden"}, 502, Code.UPSTREAM_CREDENTIAL_REJECTED),
        (402, llm("llm_insufficient_credits"), 429, Code.QUOTA_BUDGET_EXHAUSTED),
        (429, llm("llm_rate_limit"), 503, Code.UPSTREAM_OVERLOADED),
        (400, {"detail": CONTEXT}, 400, Code.CALLER_CONTEXT_TOO_LONG),
        (400, {"detail": "INVALID_ARGUMENT: x"}, 400, Code.CALLER_REQUEST_MALFORMED),
        (404, {"detail": "Agent with ID agent-1 not found"}, 404, Code.CALLER_NOT_FOUND),
        (404, {"detail": "NOT_FOUND: Handle openai/none not found"}, 404, Code.CALLER_NOT_FOUND),
        (
            404,
            {"detail": "User not found with id=user-11111111-1111-4111-8111-111111111111"},
            502,
            Code.UPSTREAM_CREDENTIAL_REJECTED,
        ),
        (405, {"detail": "Method Not Allowed"}, 400, Code.CALLER_REQUEST_MALFORMED),
        (408, {}, 504, Code.UPSTREAM_TIMEOUT),
        (410, {"detail": "Run was created more than 3 hours ago."}, 410, Code.CALLER_NOT_FOUND),
        (413, {"detail": "too large"}, 413, Code.CALLER_BODY_TOO_LARGE),
        (415, {"detail": "Unsupported file type: x"}, 415, Code.CALLER_MEDIA_TYPE_UNSUPPORTED),
        (500, {"detail": "An unknown error occurred"}, 502, Code.UPSTREAM_FAILED),
        (500, llm("llm_error"), 502, Code.UPSTREAM_FAILED),
        (501, {"detail": "LETTA_CLICKHOUSE_ENDPOINT"}, 403, Code.POLICY_OPERATION_NOT_OFFERED),
        (503, {"detail": "LETTA_REDIS_HOST: None"}, 502, Code.UPSTREAM_FAILED),
        (504, llm("llm_timeout"), 504, Code.UPSTREAM_TIMEOUT),
        (500, b"<html>Internal Server Error", 502, Code.UPSTREAM_FAILED),
        (404, b"", 404, Code.CALLER_NOT_FOUND),
        (404, b"[1]", 404, Code.CALLER_NOT_FOUND),
    ],
)
def test_says_whose_fault_it_is(status: int, body: Any, expected: int, code: Code) -> None:
    error = translated(status, body)

    assert (error.status, error.code) == (expected, code)


INTERNAL = [
    "could not reach http://127.0.0.1:18001/v1",
    "LLM failed: Error code: 400 - {'error': 1}",
    "Conversation not found for actor='id='user-c3b8a51a-5c12-4167-a770-ded6f45722b4'",
    "seen by user-c3b8a51a-5c12-4167-a770-ded6f45722b4",
    "in org-c2d553f0-fe1e-4b84-aa2f-643cff7a6af0",
    "created_at=datetime.datetime(2026, 11, 23)",
    "set LETTA_REDIS_HOST",
    "expected <class 'int'>",
]


@pytest.mark.parametrize("detail", INTERNAL)
@pytest.mark.parametrize("status", [400, 404, 409, 415, 422, 500, 503])
def test_shows_nothing_internal(status: int, detail: str) -> None:
    shown = str(as_problem(translated(status, {"detail": f"BAD: {detail}"}), "req"))

    assert detail not in shown
    assert "user-c3b8" not in shown


def test_gives_one_body_for_whatever_is_not_there() -> None:
    answers = [translated(404, {"detail": f"{kind} not found"}) for kind in ("Agent", "Block")]

    assert as_problem(answers[0], "x") == as_problem(answers[1], "x")


def test_keeps_what_a_caller_can_use() -> None:
    detail = "INVALID_ARGUMENT: File 'up.txt' already exists in folder 'docs-a'"

    assert translated(400, {"detail": detail}).detail == detail.removeprefix("INVALID_ARGUMENT: ")


NO_SUMMARY = (
    "1 validation error for CompactionResponse\nsummary\n  Input should be a valid string "
    "[type=string_type, input_value=None, input_type=NoneType]\n"
    "    For further information visit https://errors.pydantic.dev/2.13/v/string_type"
)
NOT_REDUCED = (
    "Summarization failed to reduce the number of messages. You may not have enough messages to "
    "compact or need to use a different CompactionSettings (e.g. using `all` mode)."
)
NO_MESSAGES = "No in-context messages found for this conversation."


@pytest.mark.parametrize("detail", [NO_SUMMARY, NOT_REDUCED, NO_MESSAGES])
def test_says_that_there_is_too_little_to_compact(detail: str) -> None:
    error = translated(400, {"detail": detail})

    assert (error.status, error.code) == (400, Code.CALLER_CONFLICT)
    assert error.detail.startswith("There is too little in this conversation to compact.")


def test_says_that_an_agent_has_an_archive() -> None:
    error = translated(
        409,
        {
            "detail": "(sqlalchemy.dialects.postgresql.asyncpg.IntegrityError) <class "
            "'asyncpg.exceptions.UniqueViolationError'>: duplicate key value violates unique "
            'constraint "unique_agent_archive"\nDETAIL:  Key (agent_id)=(agent-1) already exists.'
        },
    )

    assert (error.status, error.code) == (409, Code.CALLER_CONFLICT)
    assert error.detail.startswith("An agent has one archive")


def test_says_where_models_are_listed() -> None:
    error = translated(
        404, {"detail": "NOT_FOUND: Handle openai/none not found, must be one of []"}
    )

    assert (error.param, "/api/v1/letta/models" in error.detail) == ("/model", True)


def test_points_at_each_fault_of_a_body() -> None:
    detail = (
        "[{'type': 'list_type', 'loc': ('body', 'messages', 0, 'content'), "
        "'msg': 'Input should be a valid list', 'input': 'hush'}, "
        "{'type': 'missing', 'loc': ('query', 'agent_id'), 'msg': 'Field required'}]"
    )

    error = translated(422, {"trace_id": "", "detail": detail})

    assert (error.status, error.code) == (422, Code.CALLER_FIELD_INVALID)
    assert error.errors == [
        {"pointer": "/messages/0/content", "message": "Input should be a valid list"},
        {"pointer": "agent_id", "message": "Field required"},
    ]
    assert error.param == "/messages/0/content"
    assert "hush" not in str(as_problem(error, "x"))


@pytest.mark.parametrize(
    "detail", ["[{'type': open('x')}]", "[", "[1, 'x']", "plain", None, 7, {"a": 1}, [{"loc": 3}]]
)
def test_survives_a_fault_that_it_can_not_read(detail: Any) -> None:
    assert translated(422, {"detail": detail}).code == Code.CALLER_FIELD_INVALID


def test_keeps_what_a_pending_approval_says() -> None:
    detail = {
        "code": "PENDING_APPROVAL",
        "message": "CONFLICT: Cannot send a new message: please approve or deny.",
        "pending_request_id": "message-1",
    }

    error = translated(409, {"detail": detail})

    assert (error.status, error.code) == (409, Code.CALLER_CONFLICT)
    assert error.detail == "Cannot send a new message: please approve or deny."
    assert error.errors == [
        {
            "pointer": "/messages",
            "message": error.detail,
            "code": "PENDING_APPROVAL",
            "pending_request_id": "message-1",
        }
    ]


def test_names_the_run_that_a_conversation_is_busy_with() -> None:
    error = translated(409, {"detail": "CONFLICT: busy", "run_id": "run-1"})

    assert error.errors[0]["run_id"] == "run-1"
    assert error.errors[0]["code"] == "CONVERSATION_BUSY"


def test_hands_on_when_to_try_again() -> None:
    assert translated(409, {"detail": "locked"}, **{"retry-after": "1"}).retry_after == 1
    assert translated(503, {"detail": "no database"}, **{"retry-after": "2"}).retry_after == 2


@pytest.mark.parametrize(
    ("directive", "status", "code"),
    [
        ("ERR:429", 503, "upstream_overloaded"),
        ("ERR:401", 502, "upstream_credential_rejected"),
        ("ERR:402", 502, "upstream_failed"),
        ("ERR:500", 502, "upstream_failed"),
        ("CTX", 400, "caller_context_too_long"),
    ],
)
def test_answers_in_the_one_envelope(alice: Caller, directive: str, status: int, code: str) -> None:
    agent_id = alice.create_agent()["id"]

    answer = alice("POST", f"/agents/{agent_id}/messages", json={"input": directive})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["error"]["code"] == code


def test_answers_for_a_letta_that_refuses_the_gateway(alice: Caller, letta: Running) -> None:
    alice.get("/agents/")
    letta.fault("^/v1/agents/$", status=401, body={"detail": "Unauthorized"})

    answer = alice("GET", "/agents/")

    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_credential_rejected")
    assert "www-authenticate" not in answer.headers
