from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import OperationalError

from gateway_core.errors import UpstreamUnreachable
from llm_proxy.agent_proxy import attribution


@pytest.mark.parametrize("error", [UpstreamUnreachable(), OperationalError()])
async def test_books_a_call_without_its_agent_when_nobody_can_say(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def owns(*_: object) -> bool:
        raise error

    monkeypatch.setattr(attribution, "_owners", [owns])

    assert await attribution.agent_of(uuid4(), "agent-1") == ""
