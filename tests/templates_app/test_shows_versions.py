from __future__ import annotations

import pytest
import yaml
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts.models import User
from templates_app.models import TemplateVersion
from templates_app.services import Place, publish_version
from tests.templates_app.conftest import publish
from tests.templates_app.files import agent_file


def url(row: TemplateVersion, path: str = "") -> str:
    return f"/api/v1/templates/{row.template_id}/versions{path}"


def test_lists_versions_by_precedence_without_their_content(
    as_alice: APIClient, alice: User
) -> None:
    for version in ("1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "1.2.0", "1.10.0"):
        row = publish(alice, version)
    data = as_alice.get(url(row)).json()["data"]

    assert [one["version"] for one in data] == [
        *("1.10.0", "1.2.0", "1.0.0", "1.0.0-rc.10", "1.0.0-rc.2")
    ]
    assert set(data[0]) == {
        *("version", "checksum", "format", "is_latest", "changelog"),
        *("created_at", "deprecated_at"),
    }


def test_turns_pages_of_versions(as_alice: APIClient, alice: User) -> None:
    for version in ("1.0.0-rc.9", "1.0.0-rc.12", "1.0.7", "1.1.5", "1.2.0"):
        row = publish(alice, version)
    found: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = as_alice.get(url(row, f"?limit=2&cursor={cursor}")).json()
        found.append([one["version"] for one in page["data"]])
        cursor = page["next_cursor"]

    assert found == [["1.2.0", "1.1.5"], ["1.0.7", "1.0.0-rc.12"], ["1.0.0-rc.9"]]


def test_shows_a_version_with_its_file(as_alice: APIClient, alice: User) -> None:
    row = publish(alice)
    answer = as_alice.get(url(row, "/1.0.0")).json()

    assert answer["agent_file"] == agent_file()
    assert answer == as_alice.get(url(row, "/latest")).json()


@pytest.mark.parametrize("version", ["2.0.0", "newest", "1.0", "1.0.0%00", "%2e%2e"])
def test_knows_no_other_versions(version: str, as_alice: APIClient, alice: User) -> None:
    row = publish(alice)

    assert as_alice.get(url(row, f"/{version}")).status_code == 404
    assert as_alice.get(url(row, f"/{version}/file")).status_code == 404


def test_knows_a_version_by_its_build_too(as_alice: APIClient, alice: User) -> None:
    row = publish(alice, "1.0.0+build.7")

    assert as_alice.get(url(row, "/1.0.0+build.7")).status_code == 200
    assert as_alice.get(url(row, "/1.0.0")).status_code == 404


@pytest.mark.parametrize("accept", ["*/*", "application/yaml", "text/html", "application/json"])
def test_gives_the_file_back_to_the_last_blank(
    accept: str, as_alice: APIClient, alice: User
) -> None:
    text = "# Mine — ünchanged.\n" + yaml.safe_dump(agent_file()) + "  \n"
    row = publish_version(place=Place(by=alice), content=text.encode())
    answer = as_alice.get(url(row, "/latest/file"), headers={"accept": accept})

    assert answer.status_code == 200
    assert answer.content == text.encode()
    assert answer["content-type"] == "application/yaml; charset=utf-8"
    assert answer["etag"] == f'"{row.checksum}"'
    assert answer["cache-control"] == "private, no-cache"
    assert answer["content-disposition"] == 'attachment; filename="helper-1.0.0.yaml"'


def test_gives_json_as_json(as_alice: APIClient, alice: User) -> None:
    answer = as_alice.get(url(publish(alice), "/1.0.0/file"))

    assert answer["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == agent_file()


def test_sends_no_file_that_the_caller_has(as_alice: APIClient, alice: User) -> None:
    row = publish(alice)
    etag = {"if-none-match": f'"{row.checksum}"'}

    answer = as_alice.get(url(row, "/1.0.0/file"), headers=etag)
    assert (answer.status_code, answer.content) == (304, b"")
    other = as_alice.get(url(row, "/1.0.0/file"), headers={"if-none-match": '"x"'})
    assert other.status_code == 200


def test_makes_as_many_queries_for_many_versions_as_for_one(
    as_alice: APIClient, alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    row = publish(alice)

    def read_all() -> None:
        for path, queries in [("", 2), ("/1.0.0", 1), ("/1.0.0/file", 1)]:
            with django_assert_num_queries(queries):
                assert as_alice.get(url(row, path)).status_code == 200

    read_all()
    for number in range(1, 12):
        publish(alice, f"1.0.{number}")
    read_all()
