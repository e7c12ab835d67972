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
    "origin",
    [
        *(
            "https://evil.example",
            "http://app.example.com",
            f"{_APP}.evil.example",
            "null",
            "",
            "*",
        ),
        *(f"{_APP}:443", f"{_APP}/", f" {_APP}", f"{_APP}, https://evil.example", _APP.upper()),
        *("https://evil-app.example.com", "https://app.example.com@evil.example", f"{_APP}\xad"),
        *("https://appXexample.com", f"{_APP}%60.evil.example", "https://example.com", "file://"),
    ],
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


async def test_lets_no_page_into_a_private_network() -> None:
    answer = await ask(
        with_cors(_behind),
        method="OPTIONS",
        headers={
            "origin": _APP,
            "access-control-request-method": "POST",
            "access-control-request-private-network": "true",
        },
    )

    assert "access-control-allow-private-network" not in answer.headers
    assert "access-control-allow-credentials" not in answer.headers


async def _nothing() -> Any:
    return {"type": "http.disconnect"}


async def test_counts_the_first_of_two_origins_only() -> None:
    """Browsers send one: whatever joins another to it is none."""
    seen: list[Any] = []

    async def send(message: Any) -> None:
        seen.append(message)

    both = [(b"origin", b"https://evil.example"), (b"origin", _APP.encode())]
    scope = {"type": "http", "method": "GET", "headers": both}
    await with_cors(_behind)(scope, _nothing, send)

    assert seen[0]["headers"] == [(b"etag", b"1")]


async def test_passes_options_on_that_are_no_preflight() -> None:
    answer = await ask(with_cors(_behind), method="OPTIONS", headers={"origin": _APP})

    assert answer.body == b"behind"


async def test_never_lets_browsers_send_cookies() -> None:
    answer = await ask(with_cors(_behind), headers={"origin": _APP})

    assert "access-control-allow-credentials" not in answer.headers
