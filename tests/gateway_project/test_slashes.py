from __future__ import annotations

import pytest
from django.test import Client


@pytest.mark.parametrize("path", ["/api/v1/system/health", "/api/v1/system/health/"])
def test_answers_an_api_path_with_and_without_a_slash_at_the_end(client: Client, path: str) -> None:
    assert client.get(path).status_code == 200


def test_drops_only_one_slash(client: Client) -> None:
    assert client.get("/api/v1/system/health//").status_code == 404


def test_loses_no_method_to_a_redirect(client: Client) -> None:
    assert client.post("/api/v1/system/health/").status_code == 405


def test_leaves_the_slashes_of_the_admin_to_django(client: Client) -> None:
    assert client.get("/admin/login/").status_code == 200
    assert client.get("/admin")["location"] == "/admin/"


def test_names_the_path_as_it_was_called_when_there_is_nothing(client: Client) -> None:
    assert " /api/v1/nothing/. " in client.get("/api/v1/nothing/").json()["detail"]
