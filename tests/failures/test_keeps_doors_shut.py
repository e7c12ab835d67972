"""No process hears what another decides while Valkey is away; nobody stays in for long even so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.failures.asking import Cast, Kind
from tests.failures.wire import Fault
from tests.timing import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.failures.world import World

_PROMISED_SECONDS = 10.0
_SLACK_SECONDS = 3.0


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.HANGING])
def test_finds_out_who_was_shut_out_elsewhere_while_valkey_is_away(
    world: World, fault: Fault
) -> None:
    world.begin_anew()
    cast = Cast(world, world.gateway)
    suspended, signed_out = world.person("suspended"), world.person("signed-out")
    key_id, secret = cast.issue_key()
    tokens = (suspended.token, signed_out.token, secret)
    for token in tokens:  # the other process knows them all
        assert _calls_model(world, token) == httpx.codes.OK
    world.wires["valkey"].breaks(fault)
    world.query("UPDATE accounts_user SET is_active = false WHERE id = %s", suspended.id)
    cast.send("POST", "/api/v1/me/sign-out", signed_out).raise_for_status()
    cast.send("DELETE", f"/api/v1/llm/keys/{key_id}", cast.known).raise_for_status()

    left = _PROMISED_SECONDS + _SLACK_SECONDS
    for token in tokens:
        left -= wait_until(_is_refused(world, token), left)
    world.wires["valkey"].mend()
    for token in tokens:
        assert _is_refused(world, token)()
    assert cast.ask(Kind.MODEL_CALL).status == httpx.codes.OK


def _is_refused(world: World, token: str) -> Callable[[], bool]:
    return lambda: (
        _calls_model(world, token)
        in {
            httpx.codes.UNAUTHORIZED,
            httpx.codes.FORBIDDEN,
        }
    )


def _calls_model(world: World, token: str) -> int:
    answer = world.client.post(
        f"{world.remote.url}/api/v1/llm/v1/chat/completions",
        json={"model": "stub/fast", "messages": [{"role": "user", "content": "hi"}]},
        headers={"authorization": f"Bearer {token}"},
    )
    return answer.status_code
