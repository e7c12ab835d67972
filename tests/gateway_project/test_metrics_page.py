from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from gateway_core import context, metrics


def _count_one() -> None:
    record = context.begin({"headers": [], "path": "/", "method": "GET"})
    record.status, record.route = 200, "control"
    record.ended = record.started
    metrics.count(record)


def test_shows_the_metrics(client: Client) -> None:
    _count_one()

    response = client.get("/metrics")

    assert response.status_code == 200
    assert response["content-type"].startswith("text/plain")
    assert 'gateway_requests_total{code="-",operation="-",route="control",status="200"}' in (
        response.content.decode()
    )


def test_gathers_from_all_workers_where_they_share_a_directory(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    # An empty directory: what this process counted in its own memory is not shown.
    assert b"gateway_requests_total" not in client.get("/metrics").content


def test_is_not_there_when_it_is_switched_off(client: Client, settings: Any) -> None:
    settings.ENABLE_METRICS = False

    assert client.get("/metrics").status_code == 404


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "the-token", "Bearer ü"])
def test_wants_the_token_where_there_is_one(
    client: Client, settings: Any, authorization: str
) -> None:
    settings.METRICS_TOKEN = "the-token"

    response = client.get("/metrics", headers={"authorization": authorization})

    assert response.status_code == 401
    assert response["www-authenticate"].startswith("Bearer")
    assert b"gateway_" not in response.content.replace(b"urn:gateway", b"")


def test_answers_to_the_token(client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = "the-token"

    response = client.get("/metrics", headers={"authorization": "Bearer the-token"})

    assert response.status_code == 200


def test_answers_405_to_other_methods(client: Client) -> None:
    assert client.post("/metrics").status_code == 405
