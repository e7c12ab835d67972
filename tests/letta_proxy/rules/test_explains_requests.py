"""Why a request is allowed or denied, held against what the gateway really does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from accounts.models import User
from gateway_core.proxy.operations import BodyKind
from letta_proxy.catalogue import CATALOGUE
from letta_proxy.catalogue.operation import LettaOperation
from letta_proxy.models import LettaAccount
from tests.conftest import Running
from tests.letta_proxy.conftest import MODEL, Belongings, Caller
from tests.letta_proxy.rules.conftest import MakeRule

SIMULATE = "/api/v1/system/policy/simulate"
_OFFERED = [one for one in CATALOGUE.operations if one.is_offered]

Explain = Callable[..., dict[str, Any]]


@pytest.fixture
def explain(client_for: Callable[[str], httpx.Client]) -> Explain:
    """Ask as staff, by default about Bob."""
    client = client_for("staff@example.com")
    client.get("/api/v1/me").raise_for_status()
    User.objects.filter(email="staff@example.com").update(is_staff=True)

    def ask(method: str, path: str, **parts: Any) -> dict[str, Any]:
        wish = {"user": "bob@example.com", "method": method, "path": path, **parts}
        answer = client.post(SIMULATE, json=wish)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    return ask


def outcomes(answer: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["outcome"] for step in answer["steps"]}


def step(answer: dict[str, Any], name: str) -> dict[str, Any]:
    return next(dict(step) for step in answer["steps"] if step["name"] == name)


def verdict(answer: dict[str, Any]) -> tuple[str, int, str]:
    return answer["answer"], answer["status"], answer["code"]


def test_says_of_every_operation_with_foreign_ids_what_the_gateway_says(
    explain: Explain, bob: Caller, letta: Running, of_alice: Belongings
) -> None:
    bob.get("/agents/")
    letta.client.delete("/_sandbox/requests")

    for operation in _OFFERED:
        if operation.owners:
            path = operation.path.format_map(of_alice.values())
            answer = explain(operation.method, path)
            real = bob(operation.method, path, **_empty_body(operation))

            assert (operation.name, *verdict(answer)) == (
                operation.name,
                "denied",
                real.status_code,
                real.json()["code"],
            )

    assert {request["method"] for request in letta.requests()} == {"GET"}


def test_says_of_every_reading_with_own_ids_what_the_gateway_says(
    explain: Explain, bob: Caller, of_bob: Belongings
) -> None:
    for operation in _OFFERED:
        # Letta, not the gateway, says that it has no traces of runs.
        if operation.method == "GET" and operation.name != "retrieve_trace_for_run":
            path = operation.path.format_map(of_bob.values())
            answer = explain("GET", path)
            real = bob("GET", path)

            was_let_through = real.status_code not in (403, 404)
            assert (operation.name, answer["answer"]) == (
                operation.name,
                "allowed" if was_let_through else "denied",
            )


def _empty_body(operation: LettaOperation) -> dict[str, Any]:
    if operation.body is BodyKind.FORM:
        return {"files": {"file": ("a.txt", b"x", "text/plain")}}
    return {"json": {}} if operation.body is BodyKind.JSON else {}


REQUESTS: list[tuple[str, str, Any]] = [
    ("POST", "/agents/", {"name": "Ada", "model": MODEL}),
    ("POST", "/agents/", {"name": "Ada", "model": "openai-proxy/unheard-of"}),
    ("POST", "/agents/", {"name": "Ada", "model": "letta/letta-free"}),
    ("POST", "/agents/", {"name": "a.b/c"}),
    ("POST", "/agents/", {"llm_config": {"model_endpoint": "http://127.0.0.1"}}),
    ("POST", "/agents/", {"tools": ["run_code"]}),
    ("POST", "/agents/", {"tool_ids": ["{foreign_tool}"]}),
    ("POST", "/agents/", {"block_ids": ["{foreign_block}"]}),
    ("POST", "/agents/", {"unheard_of": 1}),
    ("POST", "/agents/{agent}/messages", {"input": "hi", "max_steps": 10_000}),
    ("POST", "/agents/{agent}/messages/async", {"callback_url": "http://127.0.0.1"}),
    ("POST", "/agents/{agent}/messages/cancel", {"run_ids": ["{foreign_run}"]}),
    ("POST", "/conversations/default/messages", {"input": "hi"}),
    ("GET", "/agents/?secret=1", None),
    ("GET", "/runs/?agent_id={foreign_agent}", None),
    ("GET", "/agents//x", None),
    ("GET", "/agents/%2e%2e", None),
    ("GET", "/nothing/of/the/kind", None),
    ("POST", "/tools/run", {}),
    ("GET", "/messages/", None),
    ("PUT", "/agents/{agent}", {}),
]


def test_says_of_bodies_and_queries_what_the_gateway_says(
    explain: Explain, bob: Caller, of_bob: Belongings, of_alice: Belongings
) -> None:
    names = {
        "agent": of_bob.agent_id,
        "foreign_agent": of_alice.agent_id,
        "foreign_block": of_alice.block_id,
        "foreign_run": of_alice.run_id,
        "foreign_tool": of_alice.tool_id,
    }
    for method, path, body in REQUESTS:
        target, filled = (_fill(part, names) for part in (path, body))
        before = explain(method, target, body=filled)
        real = bob.raw(method, f"/api/v1/letta/v1{target}", json=filled)

        expected = (
            ("allowed", 0, "")
            if real.is_success
            else ("denied", real.status_code, real.json()["code"])
        )
        assert (method, path, body, *verdict(before)) == (method, path, body, *expected)


def _fill(part: Any, names: dict[str, str]) -> Any:
    if isinstance(part, str):
        for name, value in names.items():
            part = part.replace(f"{{{name}}}", value)
        return part
    if isinstance(part, dict):
        return {key: _fill(value, names) for key, value in part.items()}
    return [_fill(value, names) for value in part] if isinstance(part, list) else part


def test_shows_each_step_of_what_is_allowed(explain: Explain, of_bob: Belongings) -> None:
    path = f"/api/v1/letta/v1/agents/{of_bob.agent_id}/messages?limit=5"

    answer = explain("GET", path)

    assert verdict(answer) == ("allowed", 0, "")
    assert [step["name"] for step in answer["steps"]] == [
        *("user", "address", "operation", "rules", "path", "owner", "query", "body")
    ]
    assert (
        step(answer, "address")["detail"] == f"Letta's path is /agents/{of_bob.agent_id}/messages."
    )
    assert "list_messages" in step(answer, "operation")["detail"]


def test_tells_staff_whose_a_thing_is(explain: Explain, bob: Caller, of_alice: Belongings) -> None:
    bob.get("/agents/")

    answer = explain("GET", f"/agents/{of_alice.agent_id}")

    assert "belongs to alice@example.com" in step(answer, "owner")["detail"]
    assert step(answer, "owner")["code"] == "caller_not_found"


def test_shows_every_rule_that_matches_and_the_one_that_decides(
    explain: Explain, bob: Caller, make_rule: MakeRule
) -> None:
    bob.get("/blocks/")
    shadow = make_rule("GET", "/blocks", effect="shadow")
    first = make_rule("", "/blocks")
    second = make_rule("", "/**", user=User.objects.get(email="bob@example.com"))
    off = make_rule("", "/**", is_active=False)

    answer = explain("GET", "/blocks/")

    assert verdict(answer) == ("denied", 403, "policy_rule_denied")
    assert outcomes(answer)[shadow.rule_id] == "noted"
    assert outcomes(answer)[first.rule_id] == outcomes(answer)[second.rule_id] == "denied"
    assert off.rule_id not in outcomes(answer)
    assert "a secret reason" in step(answer, first.rule_id)["detail"]
    assert first.rule_id in bob("GET", "/blocks/").json()["detail"]


def test_goes_on_after_a_denial_to_show_all_that_is_in_the_way(
    explain: Explain, of_bob: Belongings, of_alice: Belongings, make_rule: MakeRule
) -> None:
    rule = make_rule("PATCH", "/agents/*")
    body = {"block_ids": [of_alice.block_id], "llm_config": {"x": 1}}

    answer = explain("PATCH", f"/agents/{of_bob.agent_id}", body=body)

    assert verdict(answer) == ("denied", 403, "policy_rule_denied")
    assert outcomes(answer)[rule.rule_id] == "denied"
    assert step(answer, "body")["param"] == "/llm_config"


def test_makes_no_account_for_somebody_who_has_none(
    explain: Explain, client_for: Callable[[str], httpx.Client], letta: Running
) -> None:
    client_for("bob@example.com").get("/api/v1/me").raise_for_status()

    allowed = explain("POST", "/agents/", body={"name": "Ada"})
    denied = explain("POST", "/agents/", body={"tool_ids": ["tool-1"]})

    assert outcomes(allowed)["account"] == "noted"
    assert verdict(allowed) == ("allowed", 0, "")
    assert verdict(denied) == ("denied", 404, "caller_not_found")
    assert letta.requests() == []
    assert not LettaAccount.objects.exists()


def test_changes_nothing(explain: Explain, bob: Caller, letta: Running, of_bob: Belongings) -> None:
    agents = bob.get("/agents/")
    letta.client.delete("/_sandbox/requests")

    for operation in _OFFERED:
        explain(operation.method, operation.path.format_map(of_bob.values()), body={})

    assert {request["method"] for request in letta.requests()} <= {"GET"}
    assert bob.get("/agents/") == agents


def test_says_that_a_suspended_user_may_nothing(explain: Explain, bob: Caller) -> None:
    bob.get("/agents/")
    User.objects.filter(email="bob@example.com").update(is_active=False)

    answer = explain("GET", "/agents/")

    assert verdict(answer) == ("denied", 403, "policy_account_suspended")


def test_does_not_know_while_letta_is_away(
    explain: Explain, bob: Caller, letta: Running, of_bob: Belongings
) -> None:
    del bob
    letta.fault("^/v1/steps", status=500)

    answer = explain("GET", f"/steps/{of_bob.step_id.replace('-', '-0', 1)[:-1]}")

    assert answer["answer"] == "unknown"
    assert answer["code"].startswith("upstream_")
    assert outcomes(answer)["owner"] == "unknown"
