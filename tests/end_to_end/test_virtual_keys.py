from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import openai
import pytest

from gateway_project.sandbox import supabase as supabase_stand_in
from tests.end_to_end.killable_gateway import killable_gateway
from tests.end_to_end.models import PRICE_OF_A_CALL, PRICED, say
from tests.end_to_end.upstream_views import eventually
from tests.serving import start_gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.end_to_end.killable_gateway import KillableGateway
    from tests.end_to_end.people import Clients, Person, Supabase
    from tests.end_to_end.upstream_views import LiteLLMAdmin, Upstreams

    Staff = Callable[[str], str]

CALLS = 50
PREAMBLE = """
from decimal import Decimal
from accounts.models import Plan, User, UserPlan
from accounts.plans.services import save_plan, save_user_plan
from llm_proxy.virtual_keys import services
from llm_proxy.models import VirtualKey

staff = User.objects.filter(username="staff").first() or User.objects.create_superuser("staff")

def numbers(values):
    return {name: Decimal(v) if name == "budget" and v else v for name, v in values.items()}

def change_plan(**values):
    plan = Plan.objects.get(is_default=True)
    for name, value in numbers(values).items():
        setattr(plan, name, value)
    save_plan(plan=plan, by=staff)

def change_user(user_id, **values):
    save_user_plan(user_plan=UserPlan(user_id=user_id, **numbers(values)), by=staff)

def key_of(user_id):
    return VirtualKey.objects.exclude(state="retiring").get(user_id=user_id).pk
"""


async def test_makes_one_key_and_one_user_when_50_first_requests_come_at_once(
    clients: Clients, new_person: Callable[[str], Person], litellm_admin: LiteLLMAdmin
) -> None:
    carol = new_person("carol")

    async with clients.async_openai(carol) as client:
        answers = await asyncio.gather(
            *(
                client.chat.completions.create(model=PRICED, messages=say("hi"))
                for _ in range(CALLS)
            )
        )

    assert {answer.choices[0].message.content for answer in answers} == {"Hello from the stub."}
    (key,) = litellm_admin.keys_of(carol.id)
    assert key["user_id"] == litellm_admin.user(carol.id)["user_id"] == carol.id


def test_gives_the_key_to_model_calls_only(
    openai_client: Callable[[Person], openai.OpenAI],
    new_person: Callable[[str], Person],
    litellm_admin: LiteLLMAdmin,
) -> None:
    carol = new_person("carol")
    openai_client(carol).models.list()

    (key,) = litellm_admin.keys_of(carol.id)
    assert key["allowed_routes"] == ["llm_api_routes"]


def test_charges_a_user_for_exactly_their_calls(
    openai_client: Callable[[Person], openai.OpenAI],
    new_person: Callable[[str], Person],
    litellm_admin: LiteLLMAdmin,
) -> None:
    carol, dave = new_person("carol"), new_person("dave")
    for _ in range(3):
        openai_client(carol).chat.completions.create(model=PRICED, messages=say("hi"))
    openai_client(dave).chat.completions.create(model=PRICED, messages=say("hi"))
    list(
        openai_client(dave).chat.completions.create(
            model=PRICED, messages=say("hi"), stream=True, stream_options={"include_usage": True}
        )
    )

    def spent() -> tuple[float, float]:
        return litellm_admin.user(carol.id)["spend"], litellm_admin.user(dave.id)["spend"]

    expected = pytest.approx((3 * PRICE_OF_A_CALL, 2 * PRICE_OF_A_CALL))
    assert eventually(spent, lambda seen: seen == expected) == expected


@pytest.fixture(scope="module")
def own_gateway(
    upstreams: Upstreams, supabase: Supabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KillableGateway]:
    """A gateway whose plans and rows are this module's."""
    settings = {
        **upstreams.settings,
        "SUPABASE_URL": supabase.url,
        "SUPABASE_KEY": supabase_stand_in.PUBLISHABLE_KEY,
        "SUPABASE_SERVICE_KEY": supabase_stand_in.SECRET_KEY,
    }
    with killable_gateway(tmp_path_factory.mktemp("keys"), settings) as gateway:
        yield gateway


@pytest.fixture
def staff(own_gateway: KillableGateway) -> Callable[[str], str]:
    """Run some lines as staff would do it in the admin; everything of the plans' is at hand."""

    def run(lines: str) -> str:
        code = f"{PREAMBLE}\n{lines}"
        done = own_gateway.manage("shell", "--no-imports", "-v0", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def erin(
    own_gateway: KillableGateway, supabase: Supabase, staff: Staff
) -> Iterator[tuple[Person, openai.OpenAI]]:
    """Somebody new, on a plan without limits, with the SDK that does not repeat anything."""
    person = supabase.sign_up("erin")
    staff("change_plan(budget=None, allowed_models=[], requests_per_minute=None)")
    address = f"{own_gateway.url}/api/v1/llm/v1"
    with openai.OpenAI(base_url=address, api_key=person.token, max_retries=0) as client:
        yield person, client


def ask(client: openai.OpenAI, model: str = PRICED) -> str:
    """Return "", or the code of the error."""
    try:
        client.chat.completions.create(model=model, messages=say("hi"))
    except openai.APIStatusError as error:
        return str(error.code)
    return ""


def soon(ask_again: Callable[[], str], code: str) -> str:
    """Ask until a change has reached the process, which takes less than a second."""
    return eventually(ask_again, lambda seen: seen == code, seconds=1)


def test_stops_a_user_whose_budget_is_spent_until_the_plan_gives_more(
    erin: tuple[Person, openai.OpenAI], staff: Staff, litellm_admin: LiteLLMAdmin
) -> None:
    person, client = erin
    assert ask(client) == ""
    staff("change_plan(budget='0.08', budget_period='1d')")
    assert soon(lambda: ask(client), "quota_budget_exhausted") == "quota_budget_exhausted"
    user = litellm_admin.user(person.id)
    assert (user["max_budget"], user["budget_duration"]) == (0.08, "1d")
    staff("change_plan(budget=5)")
    assert soon(lambda: ask(client), "") == ""


def test_counts_what_is_spent_with_an_api_key_on_the_same_budget(
    erin: tuple[Person, openai.OpenAI], own_gateway: KillableGateway, staff: Staff
) -> None:
    person, client = erin
    assert ask(client) == ""
    headers = {"authorization": f"Bearer {person.token}"}
    wish = {"name": "nightly", "scopes": ["llm"]}
    made = httpx.post(f"{own_gateway.url}/api/v1/llm/keys", json=wish, headers=headers)
    address = f"{own_gateway.url}/api/v1/llm/v1"
    secret = made.raise_for_status().json()["secret"]
    with openai.OpenAI(base_url=address, api_key=secret, max_retries=0) as server:
        assert ask(server) == ""
        staff(f"change_user('{person.id}', budget='0.08')")
        assert soon(lambda: ask(server), "quota_budget_exhausted") == "quota_budget_exhausted"
        assert soon(lambda: ask(client), "quota_budget_exhausted") == "quota_budget_exhausted"


def test_a_plan_says_which_models_and_how_often(
    erin: tuple[Person, openai.OpenAI], staff: Staff
) -> None:
    _, client = erin
    assert ask(client) == ""
    staff("change_plan(allowed_models=['mock-*', 'stub/ok'])")
    assert soon(lambda: ask(client), "policy_model_not_allowed") == "policy_model_not_allowed"
    assert {model.id for model in client.models.list()} >= {"mock-gpt"}
    assert PRICED not in {model.id for model in client.models.list()}
    assert (ask(client, "mock-gpt"), ask(client, "stub/ok")) == ("", "")
    staff("change_plan(allowed_models=[], requests_per_minute=0)")
    assert soon(lambda: ask(client), "quota_rate_limited") == "quota_rate_limited"
    staff("change_plan(requests_per_minute=None)")
    assert soon(lambda: ask(client), "") == ""


def test_does_not_let_a_caller_notice_that_litellm_has_lost_the_key(
    erin: tuple[Person, openai.OpenAI], litellm_admin: LiteLLMAdmin
) -> None:
    person, client = erin
    assert ask(client) == ""
    (key,) = litellm_admin.keys_of(person.id)
    litellm_admin.delete_key(key["token"])
    assert litellm_admin.keys_of(person.id) == []
    assert ask(client) == ""
    assert [again["token"] for again in litellm_admin.keys_of(person.id)] == [key["token"]]


def test_goes_on_with_what_was_spent_when_litellm_has_lost_the_user(
    erin: tuple[Person, openai.OpenAI],
    own_gateway: KillableGateway,
    staff: Staff,
    litellm_admin: LiteLLMAdmin,
) -> None:
    person, client = erin
    headers = {"authorization": f"Bearer {person.token}"}
    wish = {"name": "nightly", "scopes": ["llm"], "budget": "0.03"}
    made = httpx.post(f"{own_gateway.url}/api/v1/llm/keys", json=wish, headers=headers)
    address = f"{own_gateway.url}/api/v1/llm/v1"
    secret = made.raise_for_status().json()["secret"]
    with openai.OpenAI(base_url=address, api_key=secret, max_retries=0) as server:
        assert (ask(client), ask(server)) == ("", "")

        def spent() -> float:
            return float(litellm_admin.user(person.id)["spend"])

        two = pytest.approx(2 * PRICE_OF_A_CALL)
        assert eventually(spent, lambda seen: seen == two) == two
        litellm_admin.delete_user(person.id)

        # On a key of its own, so that no count that LiteLLM has in memory refuses it.
        replace = "services.replace_virtual_key(virtual_key_id=VirtualKey.objects.get("
        staff(f"{replace}user_id='{person.id}', kind='api_key').pk, by=staff)")
        assert ask(server) == "quota_budget_exhausted"
        assert ask(client) == ""
        three = pytest.approx(3 * PRICE_OF_A_CALL)
        assert eventually(spent, lambda seen: seen == three) == three


def test_a_key_that_was_given_an_end_goes_on_after_it(
    erin: tuple[Person, openai.OpenAI], litellm_admin: LiteLLMAdmin
) -> None:
    person, client = erin
    assert ask(client) == ""
    (key,) = litellm_admin.keys_of(person.id)
    litellm_admin.change_key(key["token"], duration="0s", rpm_limit=100)
    assert ask(client) == ""
    (again,) = litellm_admin.keys_of(person.id)
    assert (again["token"], again["expires"], again["rpm_limit"]) == (key["token"], None, None)


def test_blocks_unblocks_and_replaces_a_key(
    erin: tuple[Person, openai.OpenAI], staff: Staff, litellm_admin: LiteLLMAdmin
) -> None:
    person, client = erin
    assert ask(client) == ""
    (old,) = litellm_admin.keys_of(person.id)
    staff(f"services.block_virtual_key(virtual_key_id=key_of('{person.id}'), by=staff)")
    assert soon(lambda: ask(client), "policy_account_suspended") == "policy_account_suspended"
    assert litellm_admin.keys_of(person.id)[0]["blocked"] is True
    staff(f"services.unblock_virtual_key(virtual_key_id=key_of('{person.id}'), by=staff)")
    assert soon(lambda: ask(client), "") == ""
    staff(f"services.replace_virtual_key(virtual_key_id=key_of('{person.id}'), by=staff)")
    assert soon(lambda: ask(client), "") == ""
    (new,) = litellm_admin.keys_of(person.id)
    assert new["token"] != old["token"]


@pytest.mark.timeout(300)  # it has thousands of users of other tests to look at
def test_sync_keys_makes_the_real_litellm_agree(
    erin: tuple[Person, openai.OpenAI],
    own_gateway: KillableGateway,
    supabase: Supabase,
    staff: Staff,
    litellm_admin: LiteLLMAdmin,
) -> None:
    person, client = erin
    assert ask(client) == ""
    frank = supabase.sign_up("frank")
    address = f"{own_gateway.url}/api/v1/llm/v1"
    with openai.OpenAI(base_url=address, api_key=frank.token, max_retries=0) as other:
        assert ask(other) == ""
    own_gateway.manage("sync_keys").check_returncode()
    strangers = len(litellm_admin.all_keys()) - 2

    assert "make 0, change 0" in own_gateway.manage("sync_keys").stdout
    (key,) = litellm_admin.keys_of(person.id)
    litellm_admin.change_key(key["token"], models=["mock-gpt"], max_budget=0, blocked=True)
    planned = own_gateway.manage("sync_keys", "--dry-run").stdout
    assert f"of user {person.id}: LiteLLM was not told" in planned
    assert "unblock 1" in own_gateway.manage("sync_keys").stdout
    assert ask(client) == ""
    litellm_admin.delete_key(key["token"])
    assert "make 1" in own_gateway.manage("sync_keys").stdout
    assert [again["token"] for again in litellm_admin.keys_of(person.id)] == [key["token"]]

    staff(f"User.objects.filter(pk='{frank.id}').delete()")
    assert "2 left for --prune" in own_gateway.manage("sync_keys").stdout
    pruned = own_gateway.manage("sync_keys", "--prune").stdout
    assert "delete key 1, delete user 1" in pruned
    assert litellm_admin.keys_of(frank.id) == []
    assert len(litellm_admin.all_keys()) >= strangers + 1
    assert ask(client) == ""


def test_an_encryption_key_that_is_missing_keeps_the_gateway_from_starting(
    erin: tuple[Person, openai.OpenAI], own_gateway: KillableGateway, tmp_path: Path
) -> None:
    _, client = erin
    assert ask(client) == ""
    wrong = {**own_gateway.settings, "ENCRYPTION_KEYS": "ab" * 32}
    before = own_gateway.execute("SELECT id, encrypted_value FROM llm_proxy_virtualkey ORDER BY id")
    log = tmp_path / "gateway.log"
    assert start_gateway(0, settings=wrong, log=log).wait(60) == 3
    assert "encryption keys that ENCRYPTION_KEYS lacks" in log.read_text()
    after = own_gateway.execute("SELECT id, encrypted_value FROM llm_proxy_virtualkey ORDER BY id")
    assert after == before
    assert ask(client) == ""
