"""What browsers of other origins may do, the same on both planes."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_project.cors import with_cors
from tests.gateway_project.asgi import ask

_APP = "https://app.example.com"


@pytest.fixture(autouse=True)
def _allow_one_origin(settings: Any) -> None:
    settings.ALLOWED_ORIGINS = (_APP,)


async def _behind(scope: Any, receive: Any, send: Any) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", b"1")]})
    await send({"type": "http.response.body", "body": b"behind"})


async def test_names_an_allowed_origin_on_the_answer() -> None:
    answer = await ask(with_cors(_behind), headers={"origin": _APP})

    assert answer.body == b"behind"
    assert answer.headers["access-control-allow-origin"] == _APP
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "origin"
    assert answer.headers["etag"] == "1"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://app.example.com", f"{_APP}.evil.example", "null"]
)
async def test_names_no_other_origin(origin: str) -> None:
    answer = await ask(with_cors(_behind), headers={"origin": origin})

    assert answer.status == 200
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_answers_a_preflight_itself() -> None:
    answer = await ask(
        with_cors(_behind),
        method="OPTIONS",
        headers={
            "origin": _APP,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, x-stainless-os",
        },
    )

    assert (answer.status, answer.body) == (204, b"")
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "authorization, x-stainless-os"
    assert int(answer.headers["access-control-max-age"]) > 0


async def test_answers_no_preflight_of_another_origin() -> None:
    answer = await ask(
        with_cors(_behind),
        method="OPTIONS",
        headers={"origin": "https://evil.example", "access-control-request-method": "POST"},
    )

    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_passes_options_on_that_are_no_preflight() -> None:
    answer = await ask(with_cors(_behind), method="OPTIONS", headers={"origin": _APP})

    assert answer.body == b"behind"


async def test_never_lets_browsers_send_cookies() -> None:
    answer = await ask(with_cors(_behind), headers={"origin": _APP})

    assert "access-control-allow-credentials" not in answer.headers
