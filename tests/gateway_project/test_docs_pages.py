from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from gateway_project import docs

_PAGES = ["/docs", "/redoc", "/docs/", "/docs?script=1"]


@pytest.mark.parametrize("path", _PAGES)
def test_shows_the_pages_to_anybody(client: Client, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", _PAGES)
def test_loads_nothing_from_another_host(client: Client, path: str) -> None:
    page = client.get(path).content.decode()

    assert not re.findall(r"""(?:src|href|url)\s*[=:]\s*["'](?:https?:)?//[^"']*""", page)


def test_leads_from_the_root_to_the_pages(client: Client) -> None:
    assert client.get("/")["location"] == "/docs"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_loads_files_that_are_there(client: Client, path: str) -> None:
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get(path).content.decode())

    assert files
    for file in files:
        assert client.get(file).status_code == 200, file


def test_leads_both_pages_to_the_description(client: Client) -> None:
    assert '"/api/schema"' in client.get("/redoc").content.decode()
    assert "/api/schema" in client.get("/docs?script=").content.decode()


def test_describes_the_api_as_json_and_as_yaml(client: Client) -> None:
    as_json = client.get("/api/schema", headers={"accept": "application/json"})

    assert as_json.json()["openapi"].startswith("3.1")
    assert client.get("/api/schema").content.startswith(b"openapi: 3.1")


def test_describes_the_api_once_however_many_ask(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    make: Any = SchemaGenerator.get_schema

    def count(generator: object, **named: Any) -> Any:
        made.append(generator)
        return make(generator, **named)

    monkeypatch.setattr(SchemaGenerator, "get_schema", count)
    docs._description.cache_clear()
    with ThreadPoolExecutor(4) as threads:
        several = threads.map(lambda _: Client().get("/api/schema").content, range(8))
        assert len(set(several)) == 1
    as_json = {"accept": "application/vnd.oai.openapi+json"}
    answers = [client.get("/api/schema", headers=as_json) for _ in range(3)]
    assert {answer["content-type"] for answer in answers} == {as_json["accept"]}
    assert len(made) == 2


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", "/api/schema"])
def test_has_no_pages_where_they_are_switched_off(client: Client, settings: Any, path: str) -> None:
    settings.ENABLE_DOCS = False

    assert client.get(path).status_code == 404
