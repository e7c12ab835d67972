"""Rules on the way of real requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.db import OperationalError
from prometheus_client import REGISTRY

from accounts.models import User
from gateway_core.audit.models import AuditEvent
from letta_proxy.models import AccessRule
from letta_proxy.rules import enforce, services
from letta_proxy.rules.book import RuleBook
from letta_proxy.rules.decisions import RuleSet
from tests.conftest import Running, RunningSupabase
from tests.letta_proxy.conftest import Belongings, Caller
from tests.letta_proxy.rules.conftest import MakeRule


def is_denied(answer: httpx.Response) -> bool:
    return bool(answer.status_code == 403 and answer.json()["code"] == "policy_rule_denied")


def counted(effect: str) -> float:
    labels = {"effect": effect}
    return REGISTRY.get_sample_value("gateway_access_rule_matches_total", labels) or 0.0


def test_denies_by_the_rules_id_and_without_its_reason(
    alice: Caller, letta: Running, of_alice: Belongings, make_rule: MakeRule
) -> None:
    rule = make_rule("POST", "/agents/*/messages")
    letta.client.delete("/_sandbox/requests")
    before = counted("deny")

    answer = alice("POST", f"/agents/{of_alice.agent_id}/messages", json={"input": "hi"})

    assert is_denied(answer)
    assert rule.rule_id in answer.json()["detail"]
    assert "secret" not in answer.text
    assert answer.json()["retryable"] is False
    assert letta.requests() == []
    assert counted("deny") == before + 1
    assert alice("GET", f"/agents/{of_alice.agent_id}/messages").status_code == 200


def test_is_over_with_the_rule(
    alice: Caller, of_alice: Belongings, make_rule: MakeRule, root: User
) -> None:
    path = f"/agents/{of_alice.agent_id}"
    rule = make_rule("GET", "/agents/*")
    assert is_denied(alice("GET", path))

    rule.is_active = False
    services.save_rule(rule=rule, by=root)
    assert alice("GET", path).status_code == 200

    rule.is_active = True
    services.save_rule(rule=rule, by=root)
    assert is_denied(alice("GET", path))

    services.delete_rule(rule=rule, by=root)
    assert alice("GET", path).status_code == 200


VARIANTS = [
    "/api/v1/letta/v1/agents/{agent_id}",
    "/api/v1/letta/agents/{agent_id}",
    "/api/v1/letta/v1/agents/{agent_id}/",
    "/api/v1/letta/v1/%61gents/{agent_id}",
    "/api/v1/letta/v1/agents/%61{tail}",
    "/api/v1/letta/v1/agents/{agent_id}?x=/agents",
    "/api/v1/letta/v1/Agents/{agent_id}",
    "/api/v1/letta/v1/agents//{agent_id}",
    "/api/v1/letta/v1/./agents/{agent_id}",
    "/api/v1/letta/v1/x/../agents/{agent_id}",
    "/api/v1/letta/v1/agents/{agent_id};x",
    "/api/v1/letta/v1/agents%2F{agent_id}",
    "/api/v1/letta/v1/latest/agents/{agent_id}",
    "/api/v1//letta/v1/agents/{agent_id}",
    "/API/v1/letta/v1/agents/{agent_id}",
]


def test_is_dodged_by_no_spelling(
    alice: Caller, letta: Running, of_alice: Belongings, make_rule: MakeRule
) -> None:
    make_rule("", f"/agents/{of_alice.agent_id}")
    letta.client.delete("/_sandbox/requests")
    agent_id = of_alice.agent_id
    headers = {"x-http-method-override": "PATCH", "x-original-url": "/agents"}

    for variant in VARIANTS:
        target = variant.format(agent_id=agent_id, tail=agent_id.removeprefix("a"))
        for method in ("GET", "HEAD", "DELETE"):
            answer = alice.raw(method, target, headers=headers)
            assert (target, method, answer.status_code >= 400) == (target, method, True)

    assert letta.requests() == []
    plain = [alice.raw("GET", v.format(agent_id=agent_id, tail=agent_id[1:])) for v in VARIANTS[:5]]
    assert all(is_denied(answer) for answer in plain)


def test_is_for_one_thing_only_when_it_names_one(
    alice: Caller, of_alice: Belongings, make_rule: MakeRule
) -> None:
    other = alice.create_agent()["id"]
    make_rule("", f"/agents/{of_alice.agent_id}/**")

    assert is_denied(alice("GET", f"/agents/{of_alice.agent_id}"))
    assert is_denied(alice("GET", f"/agents/{of_alice.agent_id}/messages"))
    assert alice("GET", f"/agents/{other}").status_code == 200


def test_is_for_one_user_only_when_it_names_one(
    alice: Caller, bob: Caller, make_rule: MakeRule
) -> None:
    alice.get("/agents/")
    bob.get("/agents/")
    make_rule("", "/**", user=User.objects.get(email="bob@example.com"))

    assert alice("GET", "/agents/").status_code == 200
    assert is_denied(bob("GET", "/agents/"))


@pytest.fixture
def nobody(gateway: str, supabase: RunningSupabase) -> Iterator[Caller]:
    """Somebody who is signed in without an account."""
    headers = {"authorization": f"Bearer {supabase.token('nobody@example.com', is_anonymous=True)}"}
    with httpx.Client(base_url=gateway, headers=headers) as client:
        yield Caller(client)


def test_is_for_a_role_only_when_it_names_one(
    alice: Caller, nobody: Caller, make_rule: MakeRule
) -> None:
    make_rule("GET", "/blocks", role="anonymous")
    make_rule("GET", "/folders", role="registered")

    assert is_denied(nobody("GET", "/blocks/"))
    assert nobody("GET", "/folders/").status_code == 200
    assert alice("GET", "/blocks/").status_code == 200
    assert is_denied(alice("GET", "/folders/"))


def test_keeps_who_has_no_account_from_uploads_as_it_comes(
    alice: Caller, nobody: Caller, of_alice: Belongings
) -> None:
    path = f"/folders/{of_alice.folder_id}/upload"
    file = {"file": ("b.txt", b"hello", "text/plain")}

    assert is_denied(nobody("POST", path, files=file))
    assert alice("POST", path, files=file).status_code == 200


def test_lets_nothing_through_while_the_rules_are_not_known(
    alice: Caller, letta: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> RuleSet:
        raise OperationalError("connection refused")

    alice.get("/agents/")
    letta.client.delete("/_sandbox/requests")
    monkeypatch.setattr(enforce, "BOOK", RuleBook("never read", load=fail))

    answer = alice("GET", "/agents/")

    assert answer.status_code == 503
    assert answer.json()["code"] == "gateway_database_unavailable"
    assert "retry-after" in answer.headers
    assert letta.requests() == []


def test_gives_nothing_that_is_not_offered(alice: Caller, make_rule: MakeRule) -> None:
    make_rule("", "/**", effect="shadow")

    for method, path in (("GET", "/admin/users/"), ("POST", "/tools/run"), ("GET", "/nothing")):
        answer = alice(method, path, **({"json": {}} if method == "POST" else {}))
        assert (path, answer.status_code) == (path, 403)
        assert answer.json()["code"] == "policy_operation_not_offered"


def test_says_that_it_is_not_offered_before_any_rule(alice: Caller, make_rule: MakeRule) -> None:
    make_rule("", "/**")

    assert alice("GET", "/admin/users/").json()["code"] == "policy_operation_not_offered"


def test_does_not_tell_whether_a_foreign_thing_exists(
    bob: Caller, of_alice: Belongings, make_rule: MakeRule
) -> None:
    make_rule("GET", "/agents/*")

    foreign = bob("GET", f"/agents/{of_alice.agent_id}").json()
    missing = bob("GET", "/agents/agent-00000000-0000-4000-8000-00000000dead").json()

    assert {**foreign, "request_id": ""} == {**missing, "request_id": ""}


def test_records_a_denial_and_what_a_shadow_rule_would_deny(
    alice: Caller, make_rule: MakeRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[Any] = []
    monkeypatch.setattr("gateway_core.access.sinks", [records.append])
    first = make_rule("GET", "/blocks", effect="shadow")
    second = make_rule("", "/blocks", effect="shadow")
    before = counted("shadow")

    assert alice("GET", "/blocks/").status_code == 200
    denial = make_rule("GET", "/blocks")
    assert is_denied(alice("GET", "/blocks/"))

    shadowed, denied = (record for record in records if record.route == "letta")
    assert shadowed.facts["shadow_rule"] == f"{first.rule_id} {second.rule_id}"
    assert "rule" not in shadowed.facts
    assert shadowed.error_code == ""
    assert denied.facts["rule"] == denial.rule_id
    assert "shadow_rule" not in denied.facts
    assert denied.error_code == "policy_rule_denied"
    assert counted("shadow") == before + 1


def test_a_change_is_on_the_audit_trail_with_whoever_made_it(
    gateway: str, make_rule: MakeRule, root: User
) -> None:
    del gateway
    rule = make_rule("GET", "/blocks")
    rule.effect = "shadow"
    services.save_rule(rule=rule, by=root)
    resource = f"access_rule:{rule.pk}"
    services.delete_rule(rule=rule, by=root)

    events = AuditEvent.objects.filter(resource=resource).order_by("id")
    assert [(event.action, event.user_email, event.facts["effect"]) for event in events] == [
        ("access_rule.create", "root@example.com", "deny"),
        ("access_rule.change", "root@example.com", "shadow"),
        ("access_rule.delete", "root@example.com", "shadow"),
    ]
    assert not AccessRule.objects.filter(path_pattern="/blocks").exists()
    assert UUID(str(events[0].user_id)) == root.pk
