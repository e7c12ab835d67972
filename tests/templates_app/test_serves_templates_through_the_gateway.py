"""The way that a client goes: the real application, real tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from accounts.models import User
from templates_app.agent_file.canonical import checksum
from tests.templates_app.files import agent_file, as_json

Clients = Callable[[str], httpx.Client]
TEMPLATES = "/api/v1/templates"


@pytest.fixture
def alice_online(client_for: Clients) -> httpx.Client:
    return client_for("alice@example.com")


def publish(client: httpx.Client, version: str = "1.0.0", query: str = "") -> httpx.Response:
    content = as_json(agent_file(version=version))
    return client.post(f"{TEMPLATES}/publish{query}", content=content)


def test_publishes_lists_and_gives_back(alice_online: httpx.Client) -> None:
    answer = publish(alice_online, query="?tags=blue")
    assert answer.status_code == 201
    assert answer.json()["checksum"] == checksum(agent_file())

    (template,) = alice_online.get(f"{TEMPLATES}/?tag=blue").json()["data"]
    assert template["latest_version"] == "1.0.0"
    version = alice_online.get(answer.headers["location"])
    assert version.json()["agent_file"] == agent_file()
    file = alice_online.get(f"{answer.headers['location']}/file")
    assert file.content == as_json(agent_file())
    assert alice_online.delete(f"{TEMPLATES}/{template['id']}").status_code == 204


def test_gives_to_another_what_was_exported(
    client_for: Clients, alice_online: httpx.Client
) -> None:
    for version in ("1.0.0", "1.1.0"):
        where = publish(alice_online, version).headers["location"].split("/versions/")[0]
    sent = alice_online.get(f"{where}/export")
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["cache-control"] == "no-store"
    bob = client_for("bob@example.com")

    assert bob.get(f"{where}/export").json()["code"] == "caller_not_found"
    imported = bob.post(f"{TEMPLATES}/import", content=sent.content).json()
    assert imported["added"] == ["1.0.0", "1.1.0"]
    copy = bob.get(f"{TEMPLATES}/{imported['template_id']}/export")
    assert copy.json() == sent.json()
    assert copy.json()["versions"][0]["file"].encode() == as_json(agent_file())


def test_keeps_users_apart(client_for: Clients, alice_online: httpx.Client) -> None:
    where = publish(alice_online).headers["location"]
    bob = client_for("bob@example.com")

    assert bob.get(where).status_code == 404
    assert bob.get(TEMPLATES).json() == {"data": [], "next_cursor": None}


def test_shows_everybody_what_staff_publish(
    client_for: Clients, alice_online: httpx.Client
) -> None:
    staff = client_for("staff@example.com")
    assert publish(staff, query="?visibility=public").status_code == 403
    User.objects.filter(email="staff@example.com").update(is_staff=True, is_superuser=True)
    where = publish(staff, query="?visibility=public").headers["location"]

    assert alice_online.get(where).status_code == 200


def test_takes_a_body_that_comes_in_chunks(alice_online: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        content = as_json(agent_file())
        yield content[:100]
        yield content[100:]

    answer = alice_online.post(f"{TEMPLATES}/validate", content=chunks())

    assert answer.json()["validation"]["valid"] is True


def test_explains_faults_in_the_one_envelope(alice_online: httpx.Client) -> None:
    answer = alice_online.post(f"{TEMPLATES}/publish", content=as_json(agent_file(engine={})))

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"pointer": "/engine/model", "message": "is required"}]
    assert answer.json()["error"]["param"] == "/engine/model"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"labels":' + b"[" * 100_000, 400),
        (b'{"labels":' + b"[" * 900 + b"]" * 900 + b"}", 400),
        (b'{"description": NaN}', 400),
        (b'{"tags": [], "tags": []}', 400),
        (b"\xff", 400),
        (b'{"description":"' + b"x" * 2_000_000 + b'"}', 413),
    ],
)
def test_blames_the_caller_for_a_body_that_can_not_be_read(
    body: bytes, status: int, alice_online: httpx.Client
) -> None:
    where = f"{TEMPLATES}/{publish(alice_online).json()['template_id']}"
    answer = alice_online.patch(where, content=body, headers={"content-type": "application/json"})

    assert answer.status_code == status
    assert answer.json()["code"].startswith("caller_")
