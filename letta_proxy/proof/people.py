"""People for a proof in the sandbox, where the stand-in for sign-in makes a user for the asking."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

from django.contrib.auth import get_user_model

from gateway_core.errors import GatewayError
from gateway_core.rest import RestClient
from letta_proxy.proof.trials import Who
from letta_proxy.proof.world import PREFIX

_OK: Final = 200
_NAMES: Final = {Who.OWNER: "owner", Who.OTHER: "other", Who.STAFF: "staff"}


class PeopleUnavailable(Exception):
    """The stand-in does not answer, or the gateway does not take its tokens."""


def sign_up(auth_url: str, base_url: str) -> dict[Who, str]:
    """Return tokens of new users, a member of staff among them.

    Who is staff stands in the gateway's database. When this process has another one, nobody is
    made staff and that token is left out.

    Raises:
        PeopleUnavailable: as it says.
    """
    people = {who: _sign_up(auth_url.rstrip("/"), name) for who, name in _NAMES.items()}
    tokens = {who: token for who, (token, _) in people.items()}
    for token in tokens.values():
        headers = {"authorization": f"Bearer {token}"}
        gateway = RestClient(base_url=base_url.rstrip("/"), headers=headers)
        _call(gateway, "GET", f"{PREFIX}/models/")
    promoted = get_user_model().objects.filter(pk=people[Who.STAFF][1]).update(is_staff=True)
    if not promoted:
        del tokens[Who.STAFF]
    return tokens


def _sign_up(auth_url: str, name: str) -> tuple[str, str]:
    wish = {"email": f"{name}-{uuid4().hex[:12]}@proof.invalid", "claims": {}}
    minted = _call(RestClient(base_url=auth_url), "POST", "/_sandbox/mint", wish)
    return minted["access_token"], minted["session"]["user"]["id"]


def _call(client: RestClient, method: str, target: str, payload: object = None) -> Any:
    try:
        answer = client.call(method, target, payload=payload)
    except GatewayError as exc:
        raise PeopleUnavailable(f"{client.base_url} does not answer: {exc.detail}") from exc
    finally:
        client.close()
    if answer.status != _OK:
        raise PeopleUnavailable(f"{client.base_url}{target} answers with {answer.status}.")
    return answer.json()
