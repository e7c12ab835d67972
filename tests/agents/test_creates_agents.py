from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from accounts.models import Plan
from agents.models import Agent, Status
from gateway_core import cache
from gateway_core.audit.models import AuditEvent
from letta_proxy.models import Kind, OwnedResource
from tests.agents.conftest import BOTH_DRIVERS, MODEL, Caller, InLetta, rows


@BOTH_DRIVERS
def test_makes_an_agent_of_the_latest_version_with_its_variables(
    alice: Caller, template: str, in_letta: InLetta
) -> None:
    answer = alice(
        "POST",
        "/agents",
        json={
            "template_id": template,
            "variables": {"user_name": "Ann", "tone": "short", "search_key": "s3"},
            "agent_name": "Ada",
            "description": "Helps Ann.",
            "tags": ["vip", "eu"],
            "metadata": {"crm": 7},
        },
    )

    assert answer.status_code == 201, answer.text
    agent = answer.json()["agent"]
    (row,) = rows()
    (letta_id,) = in_letta.ids()
    assert answer.headers["location"] == f"/api/v1/agents/{agent['id']}"
    assert answer.headers["etag"] == agent["etag"] == row.etag
    assert answer.json()["template_checksum"] == agent["template"]["checksum"] == row.checksum
    assert agent == {
        "id": letta_id,
        "user_id": str(row.user_id),
        "name": "Ada",
        "description": "Helps Ann.",
        "status": "active",
        "suspended_by": "",
        "origin": "template",
        "template": {"id": template, "version": "1.0.0", "checksum": row.checksum},
        "variables": {"user_name": "Ann", "tone": "short", "search_key": "********"},
        "model": MODEL,
        "embedding": "gateway/text-embedding-3-small",
        "tags": ["vip", "eu"],
        "metadata": {"crm": 7},
        "etag": row.etag,
        "last_error": "",
        "created_at": agent["created_at"],
        "updated_at": agent["updated_at"],
    }


@BOTH_DRIVERS
def test_puts_the_variables_in_everywhere(alice: Caller, template: str, in_letta: InLetta) -> None:
    agent_id = alice.create(template)["id"]

    made = in_letta("GET", f"/agents/{agent_id}")

    assert made["system"] == "You help Ann."
    assert {block["label"]: block["value"] for block in made["blocks"]} == {
        "human": "Name: Ann",
        "rules": "Be kind.",
    }
    assert {tool["name"] for tool in made["tools"]} == {
        "memory_insert",
        "archival_memory_insert",
        "archival_memory_search",
    }
    (row,) = rows()
    assert made["tags"] == [f"gw:{row.pk}"]
    assert row.built_from["persona"] == {"system_prompt": "You help Ann."}


@BOTH_DRIVERS
def test_the_agent_is_the_callers_on_lettas_own_api(
    alice: Caller, bob: Caller, agent: dict[str, Any]
) -> None:
    path = f"/agents/{agent['id']}"

    seen = alice.letta("GET", path).json()
    assert (seen["name"], seen["tags"]) == ("Ada", ["vip"])
    assert bob.letta("GET", path).status_code == 404
    assert bob("GET", path).status_code == 404
    assert OwnedResource.objects.filter(kind=Kind.BLOCK, agent_id=agent["id"]).count() == 2


@BOTH_DRIVERS
def test_secrets_reach_the_tools_and_nobody_else(alice: Caller, in_letta: InLetta) -> None:
    template = alice.publish(tool_env={"EXA_API_KEY": "{{search_key}}"})
    secret = "exa-very-secret"

    answer = alice(
        "POST",
        "/agents",
        json={"template_id": template, "variables": {"user_name": "Ann", "search_key": secret}},
    )

    agent = answer.json()["agent"]
    (row,) = rows()
    made = in_letta("GET", f"/agents/{agent['id']}")
    assert [(one["key"], one["value"]) for one in made["secrets"]] == [("EXA_API_KEY", secret)]
    shown = (
        answer.text
        + alice("GET", f"/agents/{agent['id']}").text
        + alice("GET", "/agents").text
        + alice("GET", f"/agents/{agent['id']}/export").text
        + alice.letta("GET", f"/agents/{agent['id']}").text
    )
    assert secret not in shown
    kept = str(list(Agent.objects.values())) + str(list(AuditEvent.objects.values()))
    assert secret not in kept
    assert row.secret_names == ["search_key"]


@BOTH_DRIVERS
@pytest.mark.parametrize(
    ("variables", "pointer"),
    [
        ({}, "/variables/user_name"),
        ({"user_name": 5}, "/variables/user_name"),
        ({"user_name": "x" * 51}, "/variables/user_name"),
        ({"user_name": "Ann", "colour": "red"}, "/variables/colour"),
    ],
)
def test_names_the_variable_that_is_missing_or_wrong(
    alice: Caller, template: str, variables: dict[str, Any], pointer: str
) -> None:
    answer = alice("POST", "/agents", json={"template_id": template, "variables": variables})

    assert (answer.status_code, answer.json()["code"]) == (422, "caller_field_invalid")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert rows() == []


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"agent_name": "a.b/c"}, "/agent_name"),
        ({"tags": ["gw:1"]}, "/tags/0"),
        ({"tags": ["x"] * 51}, "/tags"),
        ({"metadata": {"x": "y" * 20_000}}, "/metadata"),
        ({"metadata": "x"}, "/metadata"),
        ({"version": "1.0.0", "use_latest": True}, "/use_latest"),
        ({"llm_config": {}}, "/llm_config"),
    ],
)
def test_refuses_what_an_agent_may_not_be_called_or_marked_with(
    alice: Caller, template: str, members: dict[str, Any], pointer: str
) -> None:
    body = {"template_id": template, "variables": {"user_name": "Ann"}, **members}
    answer = alice("POST", "/agents", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert rows() == []


@BOTH_DRIVERS
def test_makes_an_agent_of_an_older_version(alice: Caller, template: str) -> None:
    alice.publish(version="2.0.0")

    assert alice.create(template, version="1.0.0")["template"]["version"] == "1.0.0"
    assert alice.create(template)["template"]["version"] == "2.0.0"


@BOTH_DRIVERS
@pytest.mark.parametrize(
    "members", [{"version": "9.9.9"}, {"template_id": "nothing"}, {"template_id": "0" * 32}]
)
def test_there_is_no_such_template(alice: Caller, template: str, members: dict[str, Any]) -> None:
    body = {"template_id": template, "variables": {"user_name": "Ann"}, **members}
    assert alice("POST", "/agents", json=body).status_code == 404


@BOTH_DRIVERS
def test_others_templates_do_not_exist(bob: Caller, template: str) -> None:
    body = {"template_id": template, "variables": {"user_name": "Bob"}}
    assert bob("POST", "/agents", json=body).status_code == 404


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"version": "9.9.9"}, "no version 9.9.9"),
        ({"template_id": "nothing"}, "no such template"),
        ({"template_id": "0" * 32}, "no such template"),
        ({}, "no latest version"),
    ],
)
def test_says_what_is_not_there(
    alice: Caller, bob: Caller, template: str, members: dict[str, Any], says: str
) -> None:
    alice.post(f"/templates/{template}/versions/1.0.0/deprecate")
    body = {"template_id": template, "variables": {"user_name": "Ann"}, **members}

    assert says in alice("POST", "/agents", json=body).json()["detail"]
    assert "no such template" in bob("POST", "/agents", json=body).json()["detail"]


def test_names_the_field_that_is_wrong(alice: Caller, template: str) -> None:
    for members, field in (({"agent_name": "a/b"}, "/agent_name: "), ({"nam": "x"}, "/nam: ")):
        answer = alice("POST", "/agents", json={"template_id": template, **members})
        assert answer.json()["detail"].startswith(field)


def test_names_the_field_that_is_called_otherwise_elsewhere(alice: Caller, template: str) -> None:
    made = alice("POST", "/agents", json={"template_id": template, "name": "Ann"})
    agent = alice.create(template)
    changed = alice("PATCH", f"/agents/{agent['id']}", json={"agent_name": "Ann"})
    in_letta = alice("POST", "/letta/agents", json={"agent_name": "Ann"})

    assert made.json()["detail"] == "/name: This can't be set. Did you mean agent_name?"
    assert changed.json()["detail"] == "/agent_name: This can't be set. Did you mean name?"
    assert in_letta.json()["detail"].endswith("is not known here. Did you mean name?")


def test_a_deprecated_version_makes_no_agents(alice: Caller, template: str) -> None:
    alice.publish(version="2.0.0")
    alice.post(f"/templates/{template}/versions/1.0.0/deprecate")
    body = {"template_id": template, "version": "1.0.0", "variables": {"user_name": "Ann"}}

    assert alice("POST", "/agents", json=body).status_code == 409


@BOTH_DRIVERS
def test_a_template_gives_no_tool_that_users_may_not_have(alice: Caller) -> None:
    template = alice.publish(tools=["run_code"])
    body = {"template_id": template, "variables": {"user_name": "Ann"}}

    answer = alice("POST", "/agents", json=body)

    assert (answer.status_code, answer.json()["code"]) == (403, "policy_field_forbidden")
    assert answer.json()["error"]["param"] == "/tools/0"
    assert rows() == []


@BOTH_DRIVERS
def test_says_that_the_model_of_a_template_is_not_there(alice: Caller) -> None:
    other = alice.publish(engine={"model": "openai-proxy/no-such"})
    answer = alice(
        "POST", "/agents", json={"template_id": other, "variables": {"user_name": "Ann"}}
    )

    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "/engine/model")
    assert rows() == []


@BOTH_DRIVERS
def test_takes_over_parameters_and_first_messages(alice: Caller, in_letta: InLetta) -> None:
    template = alice.publish(
        engine={
            "model": MODEL,
            "hyperparams": {"temperature": 0.3, "max_tokens": 500, "context_window": 9000},
        },
        init_messages=[{"role": "user", "content": "I am {{user_name}}."}],
    )

    made = in_letta("GET", f"/agents/{alice.create(template)['id']}")

    assert made["llm_config"]["context_window"] == 9000
    assert made["model_settings"]["temperature"] == 0.3
    assert made["model_settings"]["max_output_tokens"] == 500


def test_is_called_after_its_template_when_it_has_no_name(alice: Caller, template: str) -> None:
    assert alice.create(template)["name"] == "helper"


def test_the_change_is_on_record(agent: dict[str, Any]) -> None:
    (event,) = AuditEvent.objects.filter(action="agent.create")

    assert event.user_email == "alice@example.com"
    assert event.facts["agent_id"] == agent["id"]
    assert event.facts["version"] == "1.0.0"


@BOTH_DRIVERS
def test_older_clients_get_an_agent_in_lettas_words(alice: Caller, template: str) -> None:
    body = {"template_id": template, "use_latest": True, "variables": {"user_name": "Ann"}}
    for path in ("/agents/create", "/ams/agents/create"):
        answer = alice("POST", path, json=body)

        assert answer.status_code == 201
        assert answer.json()["agent"]["id"].startswith("agent-")
        assert answer.json()["agent"]["system"] == "You help Ann."
        assert answer.json()["agent"]["tags"] == []
        assert answer.json()["template_checksum"] == rows()[-1].checksum


def limit_agents(most: int) -> None:
    Plan.objects.filter(is_default=True).update(max_agents=most)
    cache.clear_all()


def test_a_plan_says_how_many_agents_a_user_may_have(
    alice: Caller, template: str, in_letta: InLetta
) -> None:
    limit_agents(1)
    alice.create(template)

    body = {"template_id": template, "variables": {"user_name": "Ann"}}
    for answer in (
        alice("POST", "/agents", json=body),
        alice.letta("POST", "/agents/", json={"name": "Bea", "model": MODEL}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (429, "quota_count_exhausted")
        assert answer.headers["x-should-retry"] == "false"
    assert len(in_letta.ids()) == len(rows()) == 1


@BOTH_DRIVERS
def test_as_many_as_may_be_are_made_when_all_come_at_once(
    alice: Caller, template: str, in_letta: InLetta
) -> None:
    limit_agents(3)
    body = {"template_id": template, "variables": {"user_name": "Ann"}}

    def create(number: int) -> int:
        if number % 2:
            return alice("POST", "/agents", json=body).status_code
        agent = {"name": "Bea", "model": MODEL}
        return alice.letta("POST", "/agents/", json=agent).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(create, range(10)))

    assert [status for status in statuses if status < 400] in (
        [200] * a + [201] * (3 - a) for a in range(4)
    )
    assert statuses.count(429) == 7
    assert len(in_letta.ids()) == len(rows()) == 3
    assert {row.status for row in rows()} == {Status.ACTIVE}


def test_nobody_makes_agents_without_a_token(alice: Caller, template: str) -> None:
    alice.client.headers.pop("authorization")
    assert alice("POST", "/agents", json={"template_id": template}).status_code == 401


@BOTH_DRIVERS
def test_a_repeated_key_makes_one_agent(alice: Caller, template: str, in_letta: InLetta) -> None:
    body = {"template_id": template, "variables": {"user_name": "Ann"}}
    headers = {"idempotency-key": "the-first-order"}

    first, again = (alice("POST", "/agents", json=body, headers=headers) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    assert len(in_letta.ids()) == len(rows()) == 1
