from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from gateway_core.proxy.operations import BodyKind
from llm_proxy.operations import OPERATIONS
from tests.conftest import Running

SignIn = Callable[[str], httpx.Client]


def test_an_unknown_path_is_answered_with_what_there_is(
    client_for: SignIn, litellm: Running
) -> None:
    alice = client_for("alice@example.com")
    for path in (
        "/key/list",
        "/v1/files",
        "/v1/key/generate",
        "/v1/chat",
        "/v1",
        "/v1/models/a/b/c",
    ):
        answer = alice.get(f"/api/v1/llm{path}")

        assert (path, answer.status_code) == (path, 404)
        assert "/chat/completions" in answer.json()["detail"]
        assert answer.json()["code"] == "caller_not_found"
    assert litellm.requests() == []


def test_a_wrong_method_is_answered_with_the_right_one(client_for: SignIn) -> None:
    alice = client_for("alice@example.com")
    wrong_get = alice.get("/api/v1/llm/v1/chat/completions")
    wrong_delete = alice.delete("/api/v1/llm/models/gpt-4o-mini")

    assert (wrong_get.status_code, wrong_get.headers["allow"]) == (405, "POST")
    assert (wrong_delete.status_code, wrong_delete.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("version", ["", "/v1"])
def test_every_spelling_of_a_path_reaches_the_same(
    client_for: SignIn, litellm: Running, version: str, slash: str
) -> None:
    answer = client_for("alice@example.com").get(f"/api/v1/llm{version}/models{slash}")

    assert answer.status_code == 200
    assert [call["path"] for call in litellm.requests("models")] == ["/v1/models"]


@pytest.mark.parametrize("name", ["gpt-4o-mini", "stub/fast"])
def test_a_model_is_described_from_the_list(
    client_for: SignIn, litellm: Running, name: str
) -> None:
    answer = client_for("alice@example.com").get(f"/api/v1/llm/v1/models/{name}")

    assert answer.json()["id"] == name
    assert answer.json()["object"] == "model"
    assert [call["path"] for call in litellm.requests("models")] == ["/v1/models"]


@pytest.mark.parametrize("name", ["nope", "nope/fast"])
def test_a_model_that_is_not_listed_is_not_found(client_for: SignIn, name: str) -> None:
    answer = client_for("alice@example.com").get(f"/api/v1/llm/v1/models/{name}")

    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "model")


def test_an_answer_that_is_no_list_of_models_is_the_upstreams_fault(
    client_for: SignIn, litellm: Running
) -> None:
    litellm.fault("^/v1/models$", status=200, body={"data": [3]})
    answer = client_for("alice@example.com").get("/api/v1/llm/v1/models/gpt-4o-mini")

    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_answer_invalid")


def test_nobody_calls_without_a_token(gateway: str, litellm: Running) -> None:
    answer = httpx.post(f"{gateway}/api/v1/llm/v1/chat/completions", json={"model": "m"})

    assert (answer.status_code, answer.json()["code"]) == (401, "caller_token_missing")
    assert litellm.requests() == []


def test_keys_are_the_control_planes(client_for: SignIn, litellm: Running) -> None:
    answer = client_for("alice@example.com").get("/api/v1/llm/keys")

    assert "/chat/completions" not in answer.text
    assert litellm.requests() == []


def test_every_operation_says_what_it_takes() -> None:
    for operation in OPERATIONS:
        assert operation.summary
        assert (operation.method == "GET") == (operation.body is BodyKind.NONE)
        assert bool(operation.accepts) == (operation.body is not BodyKind.NONE)
        assert "model" in operation.accepts or operation.method == "GET"
