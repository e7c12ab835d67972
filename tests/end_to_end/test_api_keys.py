"""Keys that users make for their servers, on the real LiteLLM and Letta with the official SDKs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import openai
import pytest
from letta_client import Letta

from tests.end_to_end.models import PRICE_OF_A_CALL, PRICED, say
from tests.end_to_end.upstream_views import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from tests.end_to_end.gateway_process import Gateway
    from tests.end_to_end.people import Clients, Person
    from tests.end_to_end.upstream_views import LiteLLMAdmin

    Use = Callable[[dict[str, Any]], openai.OpenAI]

KEYS = "/api/v1/llm/keys"
SLOW = "stub/s-n200-d50"  # ten seconds
SHORT = "stub/s-n40-d50"  # two seconds
WITHIN_SECONDS = 1.0


@pytest.fixture
def carol(new_person: Callable[[str], Person]) -> Person:
    return new_person("carol")


@pytest.fixture
def http(clients: Clients, carol: Person) -> httpx.Client:
    return clients.http(carol)


@pytest.fixture
def sdk(gateway: Gateway) -> Iterator[Use]:
    """Return OpenAI's SDK with an API key and nothing else."""
    opened: list[openai.OpenAI] = []

    def use(key: dict[str, Any]) -> openai.OpenAI:
        address = f"{gateway.url}/api/v1/llm/v1"
        opened.append(openai.OpenAI(base_url=address, api_key=key["secret"], max_retries=0))
        return opened[-1]

    yield use
    for client in opened:
        client.close()


def make(http: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = http.post(KEYS, json={"name": "nightly", **body}).raise_for_status()
    return dict(answer.json())


def chat(client: openai.OpenAI, model: str = PRICED) -> str | None:
    answer = client.chat.completions.create(model=model, messages=say("hi"))
    return answer.choices[0].message.content


def begin(client: openai.OpenAI, model: str) -> openai.Stream[Any]:
    """Begin a stream. LiteLLM sets the price of its longest answer aside while it goes on."""
    stream = client.chat.completions.create(
        model=model, messages=say("hi"), stream=True, max_tokens=100
    )
    next(iter(stream))
    return stream


def rest_of(stream: openai.Stream[Any]) -> str | None:
    """Read a stream to its end, and return the code of the error that ended it."""
    try:
        for _ in stream:
            pass
    except openai.APIError as error:
        return error.code
    return None


def test_calls_models_and_agents_with_the_official_sdks(
    http: httpx.Client, sdk: Use, gateway: Gateway
) -> None:
    key = make(http, scopes=["llm", "letta"])

    assert chat(sdk(key)) == "Hello from the stub."
    assert PRICED in {model.id for model in sdk(key).models.list()}
    with Letta(base_url=f"{gateway.url}/api/v1/letta", api_key=key["secret"]) as letta:
        assert list(letta.agents.list()) == []


def test_ends_streams_in_band_within_a_second_of_being_revoked(
    http: httpx.Client, sdk: Use
) -> None:
    key = make(http)
    stream = begin(sdk(key), SLOW)
    http.delete(f"{KEYS}/{key['id']}").raise_for_status()

    revoked = time.monotonic()
    assert rest_of(stream) == "caller_token_invalid"
    assert time.monotonic() - revoked < WITHIN_SECONDS
    with pytest.raises(openai.AuthenticationError) as caught:
        chat(sdk(key))
    assert caught.value.code == "caller_token_invalid"


def test_lets_other_keys_go_on_when_one_is_revoked(http: httpx.Client, sdk: Use) -> None:
    key, other = make(http), make(http)
    stream = begin(sdk(other), SHORT)
    chat(sdk(key))
    http.delete(f"{KEYS}/{key['id']}").raise_for_status()

    assert rest_of(stream) is None
    assert chat(sdk(other))


def test_rotates_without_a_gap(http: httpx.Client, sdk: Use) -> None:
    old = make(http)
    stream = begin(sdk(old), SHORT)
    new = http.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_seconds": 60}).json()

    assert chat(sdk(old))
    assert chat(sdk(new))
    assert rest_of(stream) is None
    newest = http.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_seconds": 0}).json()
    assert chat(sdk(newest))
    for over in (old, new):
        with pytest.raises(openai.AuthenticationError):
            chat(sdk(over))


def test_ends_streams_of_the_old_secret_with_it(http: httpx.Client, sdk: Use) -> None:
    key = make(http)
    stream = begin(sdk(key), SLOW)
    http.post(f"{KEYS}/{key['id']}/rotate", json={"overlap_seconds": 1}).raise_for_status()

    assert rest_of(stream) == "caller_token_expired"


def test_keeps_a_key_for_agents_away_from_models(http: httpx.Client, sdk: Use) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        chat(sdk(make(http, scopes=["letta"])))

    assert caught.value.code == "policy_scope_missing"


def test_spends_a_budget_of_its_own_and_its_users(
    http: httpx.Client, sdk: Use, clients: Clients, carol: Person, litellm_admin: LiteLLMAdmin
) -> None:
    key = make(http, budget="0.08")
    for _ in range(2):  # the call that crosses a budget still succeeds
        chat(sdk(key))
    with pytest.raises(openai.RateLimitError) as caught:
        chat(sdk(key))
    assert caught.value.code == "quota_budget_exhausted"
    assert "of this API key is spent. It is renewed at" in caught.value.message

    chat(clients.openai(carol))
    expected = pytest.approx(3 * PRICE_OF_A_CALL)
    assert eventually(lambda: litellm_admin.user(carol.id)["spend"], expected.__eq__) == expected
    by_key = sorted(round(one["spend"], 2) for one in litellm_admin.keys_of(carol.id))
    assert by_key == [0.05, 0.1]


def test_calls_only_the_models_it_was_made_for(http: httpx.Client, sdk: Use) -> None:
    key = make(http, models=["stub/*"])

    assert chat(sdk(key), "stub/anything")
    with pytest.raises(openai.PermissionDeniedError) as caught:
        chat(sdk(key))
    assert caught.value.code == "policy_model_not_allowed"


def test_takes_its_virtual_key_along(
    http: httpx.Client, sdk: Use, carol: Person, litellm_admin: LiteLLMAdmin
) -> None:
    key = make(http)
    chat(sdk(key))
    assert len(litellm_admin.keys_of(carol.id)) == 1
    http.delete(f"{KEYS}/{key['id']}").raise_for_status()

    assert eventually(lambda: litellm_admin.keys_of(carol.id), lambda keys: not keys) == []


def test_no_log_has_a_secret(http: httpx.Client, sdk: Use, gateway: Gateway) -> None:
    key = make(http)
    chat(sdk(key))
    with pytest.raises(openai.AuthenticationError):
        chat(sdk({"secret": key["secret"][:-1]}))

    log = gateway.log.read_text(errors="replace")
    assert key["id"] in log
    assert key["secret"][:-1] not in log
