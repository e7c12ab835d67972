from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

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


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", "/api/schema"])
def test_has_no_pages_where_they_are_switched_off(client: Client, settings: Any, path: str) -> None:
    settings.ENABLE_DOCS = False

    assert client.get(path).status_code == 404
