from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import AsyncClient, Client

_CHECKOUT = Path(__file__).resolve().parents[2]
_FILES = [
    "/static/admin/css/base.css",
    "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js",
    "/static/drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js",
]


@pytest.mark.parametrize("path", _FILES)
async def test_serves_files_where_nothing_was_collected(
    async_client: AsyncClient, path: str
) -> None:
    response = await async_client.get(path)

    assert response.status_code == 200
    assert response["content-type"].startswith(("text/css", "text/javascript"))
    assert len(response.content) > 1000


async def test_serves_files_without_a_stream_that_django_warns_of(
    async_client: AsyncClient,
) -> None:
    assert not (await async_client.get(_FILES[0])).streaming


async def test_says_not_modified_when_the_browser_has_the_file(async_client: AsyncClient) -> None:
    first = await async_client.get(_FILES[0])

    again = await async_client.get(_FILES[0], headers={"if-modified-since": first["last-modified"]})

    assert again.status_code == 304
    assert again.content == b""


async def test_serves_a_part_when_a_range_is_asked_for(async_client: AsyncClient) -> None:
    whole = await async_client.get(_FILES[0])

    part = await async_client.get(_FILES[0], headers={"range": "bytes=10-19"})

    assert part.status_code == 206
    assert part.content == whole.content[10:20]


@pytest.mark.parametrize("path", ["/static/nothing.css", "/static/../manage.py", "/static/admin/"])
def test_answers_404_for_what_is_not_a_file(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_serves_what_was_collected_in_production(tmp_path: Path) -> None:
    script = """
import django, sys, warnings
warnings.simplefilter("error")
from django.conf import settings
django.setup()
settings.STATIC_ROOT = sys.argv[1]
from django.core.management import call_command
call_command("collectstatic", interactive=False, verbosity=0)
from django.test import Client
headers = {"host": "gateway.example.com", "accept-encoding": "gzip"}
response = Client().get("/static/admin/css/base.css", headers=headers, secure=True)
print(response.status_code, response.headers.get("content-encoding"))
"""
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=_CHECKOUT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "gateway_project.settings",
            "ENVIRONMENT": "production",
            "DJANGO_SECRET_KEY": "x" * 50,
            "ALLOWED_HOSTS": "gateway.example.com",
        },
        capture_output=True,
        check=False,
        text=True,
    )

    assert result.stdout == "200 gzip\n", result.stderr
    packed = tmp_path / "admin/css/base.css.gz"
    assert gzip.decompress(packed.read_bytes()) == packed.with_suffix("").read_bytes()


def test_needs_no_request_for_files_of_another_host(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]

    assert client.get(_FILES[0], headers={"host": "testserver"}).status_code == 200
