from __future__ import annotations

import pytest
import yaml
from django.db import connection
from django.test import override_settings
from rest_framework.test import APIClient

from gateway_core import context
from templates_app import services
from templates_app.models import Template
from tests.templates_app.files import agent_file, as_json

VALIDATE = "/api/v1/templates/validate"


def test_finds_nothing_wrong_with_a_valid_file(as_alice: APIClient) -> None:
    answer = as_alice.post(VALIDATE, as_json(agent_file()), content_type="application/json")

    assert answer.status_code == 200
    assert answer.json() == {
        "format": "json",
        "validation": {"valid": True, "errors": [], "warnings": []},
    }
    assert not Template.objects.exists()


def test_answers_200_with_every_fault_of_an_invalid_file(as_alice: APIClient) -> None:
    document = agent_file(engine={}, tools="x", compat={"models": 1})
    answer = as_alice.post(VALIDATE, yaml.safe_dump(document), content_type="application/yaml")

    assert answer.status_code == 200
    assert answer.json()["format"] == "yaml"
    validation = answer.json()["validation"]
    assert validation["valid"] is False
    assert validation["errors"] == [
        {"pointer": "/compat/models", "message": "must be a list"},
        {"pointer": "/engine/model", "message": "is required"},
        {"pointer": "/tools", "message": "must be a list"},
    ]


def test_reads_what_curl_sends_as_a_form(as_alice: APIClient) -> None:
    form = "application/x-www-form-urlencoded"
    answers = [
        as_alice.post(VALIDATE, content, content_type=form)
        for content in (as_json(agent_file()), yaml.safe_dump(agent_file()))
    ]

    assert [answer.json()["format"] for answer in answers] == ["json", "yaml"]
    assert all(answer.json()["validation"]["valid"] for answer in answers)


def test_says_where_a_file_can_not_be_read(as_alice: APIClient) -> None:
    answer = as_alice.post(VALIDATE, "a: 1\nb: *c", content_type="application/yaml")

    assert (answer.status_code, answer.json()["code"]) == (400, "caller_request_malformed")
    assert "Line 2, column 4: Anchors and aliases" in answer.json()["detail"]


def test_can_not_read_an_empty_body(as_alice: APIClient) -> None:
    assert as_alice.post(VALIDATE).status_code == 400


@override_settings(MAX_TEMPLATE_BYTES=1000)
def test_refuses_a_body_that_is_too_large(as_alice: APIClient) -> None:
    answer = as_alice.post(VALIDATE, b"#" * 1001, content_type="application/yaml")

    assert (answer.status_code, answer.json()["code"]) == (413, "caller_body_too_large")


def test_wants_a_token() -> None:
    assert APIClient().post(VALIDATE, b"{}", content_type="application/json").status_code == 401


@pytest.mark.django_db(transaction=True)
def test_needs_no_connection_while_a_file_is_looked_at() -> None:
    before = context.current.get()
    context.begin({"headers": [], "path": VALIDATE, "client": None})
    connection.ensure_connection()
    try:
        services.validate_file(as_json(agent_file()))
    finally:
        context.current.set(before)
    assert connection.connection is None
