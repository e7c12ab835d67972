"""How much one user has under way at once on the control plane, through the real gateway."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import httpx
import pytest
import redis
from django.conf import settings
from django.urls import path
from pytest_django import Settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import UserPlan
from accounts.plans.services import save_user_plan
from gateway_project import urls
from tests.gateway_project.waiting import answer_on, sent
from tests.timing import wait_until

ME = "/api/v1/me"
KEYS = "/api/v1/llm/keys"
KEY = {"name": "cron", "scopes": ["llm"]}
begun: list[str] = []
may_end = threading.Event()


class _Slow(APIView):
    def post(self, _request: Request) -> Response:
        begun.append("slow")
        assert may_end.wait(20)
        return Response({})


urlpatterns = [path("api/v1/test/slow", _Slow.as_view()), *urls.urlpatterns]
handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500
pytestmark = pytest.mark.urls(__name__)


@dataclass
class Caller:
    url: str
    user_id: UUID
    client: httpx.Client

    @property
    def token(self) -> str:
        return f"Authorization: {self.client.headers['authorization']}"

    def places(self, name: str) -> int:
        """Return how many are held now."""
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            return int(client.zcard(f"gateway:rate:{name}:{self.user_id}:leases"))


@pytest.fixture
def alice(
    gateway: str, client_for: Callable[[str], httpx.Client], settings: Settings
) -> Iterator[Caller]:
    """Somebody who may change two things at once."""
    client = client_for("alice@example.com")
    user_id = client.get(ME).json()["id"]
    save_user_plan(user_plan=UserPlan(user_id=user_id, rate_writes="60/h:9:2"), by=None)
    settings.ENABLE_RATE_LIMITING = True
    begun.clear()
    may_end.clear()
    caller = Caller(gateway, user_id, client)
    yield caller
    may_end.set()
    wait_until(lambda: not caller.places("writes"))


def _are_begun(count: int) -> bool:
    return len(begun) == count


def refused_as(answer: httpx.Response) -> tuple[int, str, str]:
    return answer.status_code, answer.json()["code"], answer.headers["retry-after"]


def test_holds_a_place_from_before_the_body_to_the_answer(alice: Caller) -> None:
    content = json.dumps(KEY).encode()
    fields = ("Content-Type: application/json", f"Content-Length: {len(content)}")
    with ExitStack() as waiting:
        first, _ = (
            waiting.enter_context(sent(alice.url, KEYS, alice.token, *fields)) for _ in range(2)
        )
        wait_until(lambda: alice.places("writes") == 2)
        refused = alice.client.post(KEYS, json=KEY)
        assert refused_as(refused) == (429, "quota_too_many_concurrent", "1")
        assert refused.headers["x-ratelimit-remaining"] == "7"
        assert alice.client.get(ME).status_code == 200
        first.sendall(content)
        assert answer_on(first).status_code == 201
        wait_until(lambda: alice.places("writes") == 1)
        assert alice.client.post(KEYS, json=KEY).status_code == 201
    wait_until(lambda: alice.places("writes") == 0)


def test_holds_it_for_as_long_as_a_thread_is_at_work_though_the_client_has_left(
    alice: Caller,
) -> None:
    for count in range(2):
        with sent(alice.url, "/api/v1/test/slow", alice.token, "Content-Length: 0"):
            wait_until(partial(_are_begun, count + 1))
    refused = alice.client.post("/api/v1/test/slow")
    assert refused_as(refused) == (429, "quota_too_many_concurrent", "1")
    may_end.set()
    wait_until(lambda: alice.places("writes") == 0)
    assert alice.client.post("/api/v1/test/slow").status_code == 200
    assert len(begun) == 3
