from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_core.logging import get_logger
from llm_proxy.models import VirtualKey
from tests import leaks

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx


def test_notices_a_key_in_the_log_and_in_an_answer(
    client_for: Callable[[str], httpx.Client],
) -> None:
    alice = client_for("alice@example.com")
    wish = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    alice.post("/api/v1/llm/chat/completions", json=wish).raise_for_status()
    key = VirtualKey.objects.get().value()
    assert not leaks.found
    get_logger("test").warning("a mistake", value=key)
    alice.patch("/api/v1/me", json={"preferences": {"note": key}}).raise_for_status()
    places = {one.rpartition(" in ")[2] for one in leaks.found}
    leaks.found.clear()
    assert places == {"the log", "the page /api/v1/me", "the answer to /api/v1/me"}
