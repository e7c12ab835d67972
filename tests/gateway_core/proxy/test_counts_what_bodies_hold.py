from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gateway_core.crowded import refuse_crowded
from gateway_core.proxy import body

if TYPE_CHECKING:
    import pytest

    from tests.gateway_core.proxy.loopback import Gateway, Upstream


async def test_looks_at_each_body_that_is_to_be_forwarded(
    gateway: Gateway, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "refuse_crowded", partial(refuse_crowded, most=6))
    answer = await gateway.client.post("/api/v1/test/say", json=[[]] * 6)
    assert (answer.status_code, answer.json()["code"]) == (400, "caller_request_malformed")
    assert upstream.calls == []
