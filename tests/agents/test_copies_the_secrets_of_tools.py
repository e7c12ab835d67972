"""What an agent's tools know goes with its copies, whatever became of its template."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from gateway_core import cache
from templates_app.models import Template, TemplateVersion
from tests.agents.conftest import Caller, InLetta, agent_file, rows
from tests.conftest import Running

SECRET = {"EXA_API_KEY": "exa-secret"}
VARIABLES = {"user_name": "Ann", "search_key": "exa-secret"}
REMOTE = pytest.mark.parametrize("driver", ["remote"], indirect=True)


@pytest.fixture
def knowing(alice: Caller) -> dict[str, Any]:
    """An agent whose tools have a secret."""
    template = alice.publish(tool_env={"EXA_API_KEY": "{{search_key}}"})
    return alice.create(template, variables=VARIABLES)


@pytest.fixture
def old(ams: Running, driver: str) -> Running:
    """The first AMS, which shows no templates."""
    assert driver == "remote"
    ams.client.put("/_sandbox/old").raise_for_status()
    cache.clear_all()
    return ams


def secrets(in_letta: InLetta, agent: dict[str, Any]) -> dict[str, str]:
    document = in_letta("GET", f"/agents/{agent['id']}")
    return {one["key"]: one["value"] for one in document["secrets"]}


def deprecate() -> None:
    Template.objects.update(deprecated_at=timezone.now())
    TemplateVersion.objects.update(deprecated_at=timezone.now(), is_latest=False)


def give_to_bob(bob: Caller) -> None:
    Template.objects.update(owner=User.objects.get(pk=bob.get("/me")["id"]))


def test_clones_agents_of_a_deprecated_version(
    alice: Caller, knowing: dict[str, Any], in_letta: InLetta
) -> None:
    deprecate()

    clone = alice.post(f"/agents/{knowing['id']}/clone", json={})["agent"]

    assert secrets(in_letta, clone) == SECRET
    assert clone["template"] == knowing["template"]


def test_clones_agents_of_a_template_that_their_owner_sees_no_more(
    alice: Caller, bob: Caller, knowing: dict[str, Any], in_letta: InLetta
) -> None:
    give_to_bob(bob)
    assert alice("GET", f"/templates/{knowing['template']['id']}").status_code == 404

    clone = alice.post(f"/agents/{knowing['id']}/clone", json={})["agent"]

    assert secrets(in_letta, clone) == SECRET


@REMOTE
@pytest.mark.usefixtures("old")
def test_clones_agents_of_the_first_ams(
    alice: Caller, knowing: dict[str, Any], in_letta: InLetta
) -> None:
    clone = alice.post(f"/agents/{knowing['id']}/clone", json={"include_messages": True})["agent"]

    assert secrets(in_letta, clone) == SECRET


def test_makes_no_clone_when_letta_keeps_them_to_itself(
    alice: Caller, knowing: dict[str, Any], letta: Running, in_letta: InLetta
) -> None:
    path = f"/agents/{knowing['id']}"
    told = in_letta("GET", path)
    told["secrets"][0]["value"] = None
    letta.fault(f"^/v1{path}$", status=200, body=told)

    answer = alice("POST", f"{path}/clone", json={})

    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_answer_invalid")
    assert [row.agent_id for row in rows()] == [knowing["id"]]


def test_an_upgrade_gives_back_what_got_lost(
    alice: Caller, knowing: dict[str, Any], in_letta: InLetta
) -> None:
    in_letta("PATCH", f"/agents/{knowing['id']}", json={"secrets": {}})
    assert secrets(in_letta, knowing) == {}
    after = agent_file("1.1.0", tool_env={"EXA_API_KEY": "{{search_key}}"})
    alice.post("/templates/publish", json=after)

    alice.post(f"/agents/{knowing['id']}/upgrade", json={"dry_run": False})

    assert secrets(in_letta, knowing) == SECRET


def test_imports_an_agent_of_a_deprecated_version(
    alice: Caller, knowing: dict[str, Any], in_letta: InLetta
) -> None:
    file = alice.get(f"/agents/{knowing['id']}/export")
    deprecate()

    body = {"file": file, "variables": {"search_key": "exa-secret"}}
    agent = alice.post("/agents/import", json=body)["agent"]

    assert secrets(in_letta, agent) == SECRET
    assert agent["template"] == knowing["template"]


@pytest.mark.parametrize("why", ["unseen", "unknown version", "no template", "blank version"])
def test_refuses_variables_that_would_have_no_effect(
    alice: Caller, bob: Caller, knowing: dict[str, Any], why: str
) -> None:
    file = alice.get(f"/agents/{knowing['id']}/export")
    del file["checksum"]
    if why == "unseen":
        give_to_bob(bob)
    elif why == "no template":
        file["agent"]["template"] = None
    else:
        file["agent"]["template"]["version"] = "" if why == "blank version" else "9.9.9"

    body = {"file": file, "variables": {"search_key": "exa-secret"}}
    answer = alice("POST", "/agents/import", json=body)
    without = alice.post("/agents/import", json={"file": file})["agent"]

    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == ["/variables/search_key"]
    assert "exa-secret" not in answer.text
    assert (without["template"], without["variables"]) == (None, {})


@REMOTE
@pytest.mark.usefixtures("old")
def test_refuses_variables_that_the_first_ams_has_no_use_for(
    alice: Caller, knowing: dict[str, Any]
) -> None:
    file = alice.get(f"/agents/{knowing['id']}/export")

    body = {"file": file, "variables": {"search_key": "exa-secret"}}
    answer = alice("POST", "/agents/import", json=body)

    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "/variables/search_key")
    assert alice.post("/agents/import", json={"file": file})["agent"]["template"]


@REMOTE
@pytest.mark.parametrize("is_old", [False, True])
def test_imports_what_was_upgraded_elsewhere(
    alice: Caller, knowing: dict[str, Any], ams: Running, in_letta: InLetta, *, is_old: bool
) -> None:
    if is_old:
        ams.client.put("/_sandbox/old").raise_for_status()
        cache.clear_all()
    after = agent_file("1.1.0", tool_env={"EXA_API_KEY": "{{search_key}}"})
    published = alice.post("/ams/templates/publish", json=after)
    alice.post(f"/agents/{knowing['id']}/upgrade", json={"dry_run": False})

    upgraded = alice.get(f"/agents/{knowing['id']}")
    checksum = "" if is_old else published["checksum"]
    assert upgraded["template"] == {**knowing["template"], "version": "1.1.0", "checksum": checksum}
    assert upgraded["variables"].keys() == knowing["variables"].keys()
    assert upgraded["variables"] == knowing["variables"] or is_old
    body: dict[str, Any] = {"file": alice.get(f"/agents/{knowing['id']}/export")}
    if not is_old:
        body["variables"] = {"search_key": "exa-secret"}
    agent = alice.post("/agents/import", json=body)["agent"]

    assert agent["template"] == upgraded["template"]
    assert secrets(in_letta, agent) == ({} if is_old else SECRET)
