"""Limits of users on both planes, through the real gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.test import Client
from http_sfv.list import List
from pytest_django import Settings

from accounts.models import User, UserPlan
from accounts.plans.services import save_user_plan
from accounts.tokens import guesses
from tests.conftest import RunningSupabase

ME = "/api/v1/me"
KEYS = "/api/v1/llm/keys"
MODELS = "/api/v1/llm/models"
AGENTS = "/api/v1/letta/agents"
KEY = {"name": "cron", "scopes": ["llm"]}
SignIn = Callable[..., httpx.Client]


@pytest.fixture
def sign_in(client_for: Callable[[str], httpx.Client], settings: Settings) -> SignIn:
    """Sign somebody in whose requests are limited from now on, at these rates."""

    def limited(name: str = "alice", **rates: str) -> httpx.Client:
        settings.ENABLE_RATE_LIMITING = False
        client = client_for(f"{name}@example.com")
        user_id = client.get(ME).json()["id"]
        save_user_plan(user_plan=UserPlan(user_id=user_id, **rates), by=None)
        settings.ENABLE_RATE_LIMITING = True
        return client

    return limited


@pytest.fixture
def _no_guesses() -> Iterator[None]:
    guesses._buckets.clear()
    yield
    guesses._buckets.clear()


def left(answer: httpx.Response) -> tuple[str, int]:
    """Return what a request was counted as, and how many more may follow."""
    fields = List()
    fields.parse(answer.headers["ratelimit"].encode())
    return fields[0].value, fields[0].params["r"]


def refuses(answer: httpx.Response) -> bool:
    if answer.status_code != 429:
        return False
    problem = answer.json()
    assert (problem["code"], problem["retryable"]) == ("quota_rate_limited", True)
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert int(answer.headers["retry-after"]) >= 1
    return True


def test_counts_reads_of_both_planes_as_one(sign_in: SignIn) -> None:
    alice = sign_in(rate_general="60/h:4")
    answers = [alice.get(path) for path in (ME, MODELS, AGENTS, "/api/v1/templates")]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert [left(answer) for answer in answers] == [("general", count) for count in (3, 2, 1, 0)]
    assert [refuses(alice.get(path)) for path in (ME, MODELS, AGENTS)] == [True] * 3


def test_counts_changes_apart_from_reads(sign_in: SignIn) -> None:
    alice = sign_in(rate_writes="60/h:2", rate_general="60/h:50")
    made = alice.post(KEYS, json=KEY)
    changed = alice.patch(ME, json={"preferences": {"dark": True}})
    assert [(answer.status_code, left(answer)) for answer in (made, changed)] == [
        (201, ("writes", 1)),
        (200, ("writes", 0)),
    ]
    assert refuses(alice.post(KEYS, json=KEY))
    assert alice.get(KEYS).status_code == 200
    assert alice.get(KEYS).text.count("cron") == 1


def test_counts_what_a_model_works_for_alike_at_both_upstreams(sign_in: SignIn) -> None:
    alice = sign_in(rate_llm="60/h:2:1")
    agent = alice.post(
        AGENTS,
        json={"model": "openai-proxy/stub-chat", "embedding": "openai/text-embedding-3-small"},
    )
    assert left(agent)[0] == "general"
    chat = {"model": "sandbox-chat", "messages": [{"role": "user", "content": "Hello"}]}
    asked = alice.post("/api/v1/llm/chat/completions", json=chat)
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    told = alice.post(f"{AGENTS}/{agent.json()['id']}/messages", json=body)
    assert (left(asked), left(told)) == (("llm", 1), ("llm", 0))
    assert refuses(alice.post("/api/v1/llm/chat/completions", json={**chat, "stream": True}))


def test_says_what_is_left_with_errors_too(sign_in: SignIn) -> None:
    alice = sign_in()
    for path in (f"/api/v1/templates/{uuid4()}", f"{AGENTS}/agent-{uuid4()}"):
        answer = alice.get(path)
        assert answer.status_code == 404
        assert left(answer)[0] == "general"
    assert left(alice.post(KEYS, json={}))[0] == "writes"


def test_counts_an_answer_that_is_given_again_once(sign_in: SignIn) -> None:
    alice = sign_in(rate_writes="60/h:3")
    keyed = {"idempotency-key": uuid4().hex}
    first, again = (alice.post(KEYS, json=KEY, headers=keyed) for _ in range(2))
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json() == again.json()
    assert (left(first), left(again)) == (("writes", 2), ("writes", 1))
    alice.post(KEYS, json={})
    assert refuses(alice.post(KEYS, json=KEY, headers=keyed))


def test_an_answer_of_letta_that_is_given_again_says_what_is_left_now(sign_in: SignIn) -> None:
    alice = sign_in(rate_general="60/h:9")
    keyed = {"idempotency-key": uuid4().hex}
    block = {"label": "human", "value": "Likes short answers."}
    first, again = (alice.post("/api/v1/letta/blocks", json=block, headers=keyed) for _ in range(2))
    assert again.headers["idempotent-replayed"] == "true"
    assert (left(first), left(again)) == (("general", 8), ("general", 7))


def test_limits_each_user_alone(sign_in: SignIn) -> None:
    alice, bob = sign_in("alice", rate_general="60/h:1"), sign_in("bob", rate_general="60/h:2")
    assert [refuses(alice.get(ME)) for _ in range(2)] == [False, True]
    assert [refuses(bob.get(ME)) for _ in range(3)] == [False, False, True]


def test_limits_nobody_in_the_admin(sign_in: SignIn, gateway: str) -> None:
    sign_in(rate_general="60/h:1")
    staff = User.objects.create_superuser("root", email="root@example.com")
    save_user_plan(user_plan=UserPlan(user_id=staff.pk, rate_general="1/h:1"), by=None)
    browser = Client()
    browser.force_login(staff)
    cookies = {"sessionid": browser.cookies["sessionid"].value}
    with httpx.Client(base_url=gateway, cookies=cookies) as admin:
        answers = [admin.get("/admin/accounts/plan/") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert "ratelimit" not in answers[0].headers


def test_browsers_may_read_what_is_left(sign_in: SignIn, settings: Settings) -> None:
    settings.ALLOWED_ORIGINS = ("https://app.example.com",)
    answer = sign_in().get(ME, headers={"origin": "https://app.example.com"})
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {name for name in answer.headers if "ratelimit" in name} <= set(exposed)


@pytest.mark.usefixtures("_no_guesses")
@pytest.mark.parametrize("path", [MODELS, AGENTS, ME])
def test_looks_at_so_many_bad_tokens_from_one_address(
    sign_in: SignIn, supabase: RunningSupabase, gateway: str, path: str
) -> None:
    alice = sign_in()
    assert alice.get(path).status_code == 200
    with httpx.Client(base_url=gateway) as guesser:
        bad = [guesser.get(path, headers={"authorization": f"Bearer {n}"}) for n in range(62)]
        statuses = [answer.status_code for answer in bad]
        assert statuses[:60] == [401] * 60
        assert refuses(bad[60]) or refuses(bad[61])
        new = {"authorization": f"Bearer {supabase.token('bob@example.com')}"}
        assert refuses(guesser.get(path, headers=new))
    assert alice.get(path).status_code == 200


@pytest.mark.usefixtures("_no_guesses")
def test_counts_no_token_that_was_good_once(
    sign_in: SignIn, supabase: RunningSupabase, gateway: str
) -> None:
    sign_in()
    expired: Any = {"authorization": f"Bearer {supabase.token(exp=1_700_000_000)}"}
    with httpx.Client(base_url=gateway, headers=expired) as late:
        assert {late.get(MODELS).json()["code"] for _ in range(65)} == {"caller_token_expired"}
