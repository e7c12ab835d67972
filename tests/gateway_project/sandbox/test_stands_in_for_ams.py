from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway_project.sandbox.ams import create_app
from gateway_project.sandbox.serving import LoopbackServer
from gateway_project.sandbox.stand_ins import STAND_INS, StandIn
from tests.conftest import Running

FILE = {
    "af_version": "1.0",
    "template": {"name": "helper", "version": "1.0.0"},
    "engine": {"model": "openai-proxy/stub-chat"},
    "persona": {
        "system_prompt": "You help {{name}}.",
        "variables_schema": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with LoopbackServer() as server:
        yield server.start(create_app(api_key="key")).url


@pytest.fixture
def ams(url: str, letta: Running) -> Iterator[httpx.Client]:
    """The stand-in, for a user who has an account in Letta."""
    password = {"authorization": f"Bearer {letta.credentials['LETTA_API_KEY']}"}
    body = {"name": "x"}
    organization = letta.client.post("/v1/admin/orgs/", json=body, headers=password).json()
    body["organization_id"] = organization["id"]
    letta_user = letta.client.post("/v1/admin/users/", json=body, headers=password).json()["id"]
    acting = {**password, "user_id": letta_user}
    letta.client.post("/v1/tools/add-base-tools", headers=acting).raise_for_status()
    headers = {"authorization": "Bearer key", "x-user-id": "u1", "x-letta-user-id": letta_user}
    with httpx.Client(base_url=url, headers=headers) as client:
        yield client
        client.post("/_sandbox/reset")


def publish(ams: httpx.Client, **template: str) -> httpx.Response:
    document: dict[str, Any] = {**FILE, "template": {"name": "helper", "version": "1.0.0"}}
    document["template"] |= template
    return ams.post("/templates/publish", json=document)


def create(ams: httpx.Client, template_id: str = "", **members: Any) -> httpx.Response:
    template_id = template_id or publish(ams).json()["template_id"]
    body = {"template_id": template_id, "variables": {"name": "Ann"}, **members}
    return ams.post("/agents/create", json=body, headers={"idempotency-key": "k1"})


def test_says_that_it_lives(url: str) -> None:
    assert httpx.get(f"{url}/health").json()["status"] == "ok"


@pytest.mark.parametrize(("key", "status"), [("key", 200), ("wrong", 401), ("", 401)])
def test_tells_its_version_to_who_has_the_key(url: str, key: str, status: int) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    assert httpx.get(f"{url}/version", headers=headers).status_code == status


def test_publishes_versions_that_only_go_up(ams: httpx.Client) -> None:
    first = publish(ams)
    second = publish(ams, version="2.0.0")
    lower = publish(ams, version="1.5.0")

    assert (first.status_code, second.status_code, lower.status_code) == (201, 201, 409)
    template_id = first.json()["template_id"]
    assert ams.get(f"/templates/{template_id}").json()["latest_version"] == "2.0.0"
    version = ams.get(f"/templates/{template_id}/versions/1.0.0").json()
    assert version["agent_file"] == FILE
    assert version["checksum"] == first.json()["checksum"]


def test_says_what_is_wrong_with_a_file(ams: httpx.Client) -> None:
    said = ams.post("/templates/validate", content=b"af_version: '1.0'").json()

    assert (said["format"], said["validation"]["valid"]) == ("yaml", False)
    assert "/engine" in {error["pointer"] for error in said["validation"]["errors"]}


def test_makes_agents_once_for_each_key(ams: httpx.Client) -> None:
    template_id = publish(ams).json()["template_id"]
    first, again = create(ams, template_id), create(ams, template_id)

    assert first.status_code == again.status_code == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    assert first.json()["agent"]["system"] == "You help Ann."


def test_names_what_variables_lack(ams: httpx.Client) -> None:
    answer = create(ams, variables={})

    assert (answer.status_code, answer.json()["code"]) == (422, "variables_missing")
    assert answer.json()["errors"] == [{"pointer": "/variables/name", "message": "is required"}]


def test_shows_others_nothing(ams: httpx.Client) -> None:
    agent_id = create(ams).json()["agent"]["id"]
    (template_id,) = {publish(ams, name="other").json()["template_id"]}
    other = {"x-user-id": "u2"}

    assert ams.get(f"/agents/{agent_id}").status_code == 200
    for path in (f"/agents/{agent_id}", f"/templates/{template_id}"):
        assert ams.get(path, headers=other).status_code == 404


def test_looks_after_agents(ams: httpx.Client) -> None:
    path = f"/agents/{create(ams).json()['agent']['id']}"

    assert ams.post(f"{path}/suspend").json()["status"] == "suspended"
    assert ams.post(f"{path}/resume").json()["status"] == "active"
    assert ams.patch(path, json={"name": "Eve"}).json()["name"] == "Eve"
    assert ams.delete(path).status_code == 204
    assert ams.get(path).status_code == 404


def test_does_what_the_first_one_did_when_told_so(ams: httpx.Client) -> None:
    template_id = publish(ams).json()["template_id"]
    agent_id = create(ams, template_id).json()["agent"]["id"]
    ams.put("/_sandbox/old")

    assert create(ams, template_id).status_code == 201
    for method, path in (
        ("GET", "/version"),
        ("GET", f"/agents/{agent_id}"),
        ("DELETE", f"/agents/{agent_id}"),
    ):
        answer = ams.request(method, path)
        assert (answer.status_code, answer.json()) == (404, {"error": "Not found"})
    assert publish(ams).json() == {"error": "The version is not higher than the latest"}


@pytest.mark.parametrize(
    ("value", "is_wanted"), [("", False), ("http://ams", False), ("sandbox", True)]
)
def test_is_there_only_for_those_who_ask(
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    is_wanted: bool,  # noqa: FBT001
) -> None:
    stand_in: StandIn = next(one for one in STAND_INS if one.name == "ams")
    monkeypatch.setenv("AMS_BASE_URL", value)

    assert stand_in.is_wanted is is_wanted
    assert os.environ["AMS_BASE_URL"] == value
