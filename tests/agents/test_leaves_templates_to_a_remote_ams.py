"""What is published here can be used here, whoever keeps it; what that one can't do is refused."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from gateway_core import cache
from templates_app.models import Template
from tests.agents.conftest import BOTH_DRIVERS, Caller, agent_file
from tests.conftest import Running

REMOTE = pytest.mark.parametrize("driver", ["remote"], indirect=True)


@BOTH_DRIVERS
@pytest.mark.parametrize("publish", ["/templates/publish", "/ams/templates/publish"])
def test_what_is_published_is_what_agents_are_made_from(alice: Caller, publish: str) -> None:
    published = alice.post(publish, json=agent_file())
    template = f"/templates/{published['template_id']}"

    agent = alice.create(published["template_id"])
    assert agent["template"] == {
        "id": published["template_id"],
        "version": "1.0.0",
        "checksum": published["checksum"],
    }
    told = alice.get(template)
    assert (told["id"], told["name"]) == (published["template_id"], "helper")
    assert told["latest_version"] == "1.0.0"
    for version in ("1.0.0", "latest"):
        found = alice.get(f"{template}/versions/{version}")
        assert (found["version"], found["checksum"]) == ("1.0.0", published["checksum"])
        assert found["agent_file"] == agent_file()
    assert alice("GET", f"{template}/versions/9.0.0").status_code == 404


@BOTH_DRIVERS
def test_looks_at_files(alice: Caller) -> None:
    good = alice.post("/templates/validate", json=agent_file())
    bad = alice.post("/templates/validate", content=b"af_version: '1.0'")

    assert (good["validation"]["valid"], good["validation"]["errors"]) == (True, [])
    assert isinstance(good["validation"]["warnings"], list)
    assert "/engine" in {error["pointer"] for error in bad["validation"]["errors"]}


@BOTH_DRIVERS
def test_others_templates_do_not_exist(alice: Caller, bob: Caller) -> None:
    template = f"/templates/{alice.publish()}"

    for path in (template, f"{template}/versions/1.0.0"):
        assert bob("GET", path).status_code == 404


@REMOTE
@pytest.mark.parametrize(
    "path", ["%2e%2e", "%2E", "%2e%2e/versions/%2e%2e", "{id}/versions/%2e%2e", "{id}/versions/%2E"]
)
def test_goes_no_other_way_than_that_of_templates(
    alice: Caller, template: str, ams: Running, path: str
) -> None:
    ams.client.delete("/_sandbox/requests")

    answer = alice("GET", f"/templates/{path.format(id=template)}")

    assert (answer.status_code, answer.json()["code"]) == (404, "caller_not_found")
    assert ams.requests("templates|versions|/$") == []


@REMOTE
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", "/import"),
        ("PATCH", "/{id}"),
        ("DELETE", "/{id}"),
        ("GET", "/{id}/export"),
        ("POST", "/{id}/clone"),
        ("POST", "/{id}/latest"),
        ("POST", "/{id}/deprecate"),
        ("POST", "/{id}/undeprecate"),
        ("GET", "/{id}/versions"),
        ("GET", "/{id}/versions/1.0.0/file"),
        ("POST", "/{id}/versions/1.0.0/deprecate"),
        ("POST", "/{id}/versions/1.0.0/undeprecate"),
    ],
)
def test_refuses_what_the_contract_does_not_have(
    alice: Caller, template: str, method: str, path: str
) -> None:
    answer = alice(method, f"/templates{path.format(id=template)}")

    assert (answer.status_code, answer.json()["code"]) == (403, "policy_operation_not_offered")
    assert "AMS_BASE_URL" in answer.json()["detail"]


@REMOTE
@pytest.mark.parametrize("wish", [{"visibility": "public"}, {"changelog": "x"}, {"tags": "x"}])
def test_publishes_nothing_that_would_be_forgotten(
    alice: Caller, ams: Running, wish: dict[str, str]
) -> None:
    answer = alice("POST", "/templates/publish", params=wish, json=agent_file())

    assert (answer.status_code, answer.json()["error"]["param"]) == (422, f"/{next(iter(wish))}")
    assert ams.requests("publish$") == []
    assert not Template.objects.exists()


@REMOTE
def test_publishes_with_a_key_of_each_request(alice: Caller, ams: Running) -> None:
    alice.publish()
    alice.publish(version="1.1.0")

    keys = [one["headers"]["idempotency-key"] for one in ams.requests("publish$")]
    assert len(set(keys)) == 2


@REMOTE
def test_the_first_ams_shows_none(alice: Caller, template: str, ams: Running) -> None:
    ams.client.put("/_sandbox/old").raise_for_status()
    cache.clear_all()

    for path in (f"/templates/{template}", f"/templates/{template}/versions/latest"):
        answer = alice("GET", path)
        assert (answer.status_code, answer.json()["code"]) == (403, "policy_operation_not_offered")


@REMOTE
def test_says_when_an_answer_is_none(alice: Caller, ams: Running) -> None:
    ams.fault("/validate$", status=200, body={"format": "yaml"})

    answer = alice("POST", "/templates/validate", json=agent_file())

    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_answer_invalid")


@REMOTE
@pytest.mark.parametrize("command", ["import_templates", "export_templates"])
def test_commands_bring_nothing_in_that_nobody_could_use(
    alice: Caller, tmp_path: Path, command: str
) -> None:
    (tmp_path / "helper.json").write_text("{}")
    with pytest.raises(CommandError, match="AMS_BASE_URL"):
        call_command(command, tmp_path)
    del alice


@REMOTE
def test_staff_publish_nothing_here_either(alice: Caller, admin_client: Client) -> None:
    file = SimpleUploadedFile("agent.json", orjson.dumps(agent_file()))
    page = admin_client.post(
        reverse("admin:templates_app_templateversion_add"), {"file": file, "visibility": "public"}
    )

    assert "AMS_BASE_URL" in page.content.decode()
    assert not Template.objects.exists()
    del alice
