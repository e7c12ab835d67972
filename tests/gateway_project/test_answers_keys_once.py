"""POSTs of the control plane with an Idempotency-Key, through the real gateway."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import yaml
from asgiref.sync import async_to_sync
from django.db import OperationalError
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import path
from pytest_django import Settings
from rest_framework.decorators import action
from rest_framework.parsers import BaseParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from accounts.models import User
from accounts.services import suspend_user
from accounts.supabase import client as supabase
from gateway_core import cache, context
from gateway_core.errors import (
    DatabaseUnavailable,
    PolicyError,
    RateLimited,
    ResourceConflict,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway_core.idempotency import services
from gateway_core.idempotency.models import IdempotencyRecord
from gateway_core.intake import takes_up_to
from gateway_project import urls
from llm_proxy.models import ApiKey
from tests.conftest import RunningSupabase
from tests.templates_app.files import agent_file
from tests.timing import wait_until

_ERRORS: dict[str, Any] = {
    "conflict": ResourceConflict,
    "denied": PolicyError,
    "limited": RateLimited,
    "away": UpstreamUnreachable,
    "failed": UpstreamFailed,
    "timeout": UpstreamTimeout,
    "database": DatabaseUnavailable,
    "bug": lambda: RuntimeError("a bug"),
}
done: list[str] = []
may_end = threading.Event()


class _Things(APIView):
    """Makes something and answers; then, or before that, goes wrong as the path says."""

    parser_classes = (JSONParser, MultiPartParser)

    def post(self, request: Request, thing: str) -> Response:
        with context.changing("POST" if request.query_params.get("effect") else "GET"):
            done.append(thing)
        if request.query_params.get("undone"):
            context.nothing_remains()
        if error := _ERRORS.get(thing):
            raise error()
        if thing == "slow":
            assert may_end.wait(10)
        if thing == "bridging":
            async_to_sync(_wait)()
        headers = {"ETag": '"1"', "Location": f"/things/{len(done)}", "Cache-Control": "no-store"}
        return Response({"number": len(done), "given": request.data}, 201, headers=headers)

    patch = get = post


class _AnyText(BaseParser):
    media_type = "*/*"

    def parse(self, stream: Any, *_: Any) -> Any:
        return stream.read()


class _Raw(APIView):
    parser_classes = (_AnyText,)

    @takes_up_to("MAX_BUNDLE_BYTES")
    def post(self, request: Request) -> Response:
        done.append("raw")
        return Response({"bytes": len(request.data)})


class _Public(APIView):
    authentication_classes = ()
    permission_classes = ()

    def post(self, _request: Request) -> Response:
        done.append("public")
        return Response({})


async def _wait() -> None:
    while not may_end.is_set():
        await asyncio.sleep(0.01)


async def _pieces() -> AsyncIterator[bytes]:
    yield b"a"
    yield b"b"


class _Streaming(APIView):
    def post(self, _request: Request) -> StreamingHttpResponse:
        done.append("stream")
        return StreamingHttpResponse(_pieces())


class _Agents(ViewSet):
    def create(self, _request: Request) -> Response:
        done.append("create")
        return Response(status=204)

    @action(detail=True, methods=["post"], authentication_classes=(), permission_classes=())
    def wave(self, _request: Request, pk: str) -> Response:
        done.append(f"wave {pk}")
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def suspend(self, _request: Request, pk: str) -> Response:
        done.append(f"suspend {pk}")
        return Response(status=204)


_router = SimpleRouter(trailing_slash=False)
_router.register("api/v1/test/agents", _Agents, basename="test-agent")
urlpatterns = [
    path("api/v1/test/things/<thing>", _Things.as_view()),
    path("api/v1/test/raw", _Raw.as_view()),
    path("api/v1/test/public", _Public.as_view()),
    path("api/v1/test/streaming", _Streaming.as_view()),
    *_router.urls,
    *urls.urlpatterns,
]
handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500
pytestmark = pytest.mark.urls(__name__)

THINGS = "/api/v1/test/things"
KEY = {"idempotency-key": "k-1"}
Post = Callable[..., httpx.Response]


@pytest.fixture(autouse=True)
def _nothing_done() -> Iterator[None]:
    done.clear()
    may_end.clear()
    yield
    may_end.set()


@pytest.fixture
def post(client_for: Callable[[str], httpx.Client]) -> Post:
    client = client_for("alice@example.com")

    def send(target: str, *, headers: dict[str, str] = KEY, **parts: Any) -> httpx.Response:
        return client.post(target, headers=headers, **parts)

    return send


def code_of(answer: httpx.Response) -> tuple[int, str]:
    assert "idempotent-replayed" not in answer.headers
    return answer.status_code, answer.json()["code"]


def test_gives_status_body_and_headers_again(post: Post) -> None:
    first, second = (post(f"{THINGS}/one", json={"a": 1}) for _ in range(2))

    assert done == ["one"]
    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    for name in ("content-type", "etag", "location", "cache-control"):
        assert first.headers[name] == second.headers[name]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_does_each_request_without_a_key(post: Post) -> None:
    for _ in range(2):
        assert post(f"{THINGS}/one", headers={}, json={}).status_code == 201

    assert done == ["one", "one"]
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize(
    "parts",
    [{"json": {"a": 2}}, {"content": b'{"a": 1}'}, {"json": {"a": 1}, "params": {"effect": "1"}}],
)
def test_refuses_the_key_with_another_request(post: Post, parts: dict[str, Any]) -> None:
    post(f"{THINGS}/one", json={"a": 1})

    answer = post(f"{THINGS}/one", **parts)

    assert code_of(answer) == (422, "caller_idempotency_key_reused")
    assert done == ["one"]


def test_takes_the_same_key_on_other_routes_and_of_other_users(
    post: Post, client_for: Callable[[str], httpx.Client]
) -> None:
    bob = client_for("bob@example.com")
    answers = [
        post(f"{THINGS}/one", json={}),
        post(f"{THINGS}/two", json={}),
        bob.post(f"{THINGS}/one", json={}, headers=KEY),
    ]

    assert [answer.json()["number"] for answer in answers] == [1, 2, 3]


def test_takes_a_path_with_a_slash_at_the_end_for_the_same(post: Post) -> None:
    post(f"{THINGS}/one", json={})

    assert post(f"{THINGS}/one/", json={}).headers["idempotent-replayed"] == "true"


def test_refuses_a_key_whose_first_request_is_under_way(post: Post) -> None:
    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, f"{THINGS}/slow", json={})
        wait_until(lambda: done == ["slow"])
        second = post(f"{THINGS}/slow", json={})
        may_end.set()

    assert first.result().status_code == 201
    assert code_of(second) == (409, "caller_idempotency_in_progress")
    assert second.headers["retry-after"] == "1"
    assert "x-should-retry" not in second.headers
    assert post(f"{THINGS}/slow", json={}).headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("thing", ["slow", "bridging"])
def test_keeps_the_answer_for_whoever_left_before_it_came(post: Post, thing: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        post(f"{THINGS}/{thing}", json={}, timeout=0.2)
    wait_until(lambda: done == [thing])
    time.sleep(0.05)  # until the gateway has heard of it
    may_end.set()
    wait_until(lambda: IdempotencyRecord.objects.filter(state="answered").exists())

    answer = post(f"{THINGS}/{thing}", json={})

    assert answer.status_code == 201
    assert answer.headers["idempotent-replayed"] == "true"
    assert done == [thing]


def test_does_the_work_once_however_many_ask_at_once(post: Post) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(f"{THINGS}/one", json={}), range(16)))

    assert done == ["one"]
    told = Counter(answer.status_code for answer in answers)
    assert told[201] >= 1
    assert set(told) <= {201, 409}


@pytest.mark.parametrize("thing", ["conflict", "denied", "limited", "away", "failed", "timeout"])
def test_frees_the_key_of_what_failed_before_any_effect(post: Post, thing: str) -> None:
    first, second = (post(f"{THINGS}/{thing}", json={}) for _ in range(2))

    assert first.json()["code"] == second.json()["code"]
    assert done == [thing, thing]
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize("thing", ["conflict", "denied", "limited"])
def test_frees_the_key_of_what_was_refused_however_late(post: Post, thing: str) -> None:
    for _ in range(2):
        assert post(f"{THINGS}/{thing}?effect=1", json={}).status_code < 500

    assert done == [thing, thing]


@pytest.mark.parametrize("thing", ["away", "failed", "timeout"])
def test_does_not_repeat_what_failed_after_an_effect(post: Post, thing: str) -> None:
    first, second = (post(f"{THINGS}/{thing}?effect=1", json={}) for _ in range(2))

    assert first.json()["code"].startswith("upstream_")
    assert code_of(second) == (409, "caller_idempotency_outcome_unknown")
    assert first.json()["code"] in second.json()["detail"]
    assert second.headers["x-should-retry"] == "false"
    assert done == [thing]


@pytest.mark.parametrize("thing", ["bug", "database"])
def test_does_not_repeat_what_may_have_changed_our_own_database(post: Post, thing: str) -> None:
    first, second = (post(f"{THINGS}/{thing}", json={}) for _ in range(2))

    assert first.status_code >= 500
    assert code_of(second) == (409, "caller_idempotency_outcome_unknown")
    assert done == [thing]


def test_frees_the_key_of_what_was_taken_back(post: Post) -> None:
    for _ in range(2):
        assert post(f"{THINGS}/failed?effect=1&undone=1", json={}).status_code == 502

    assert done == ["failed", "failed"]


def test_gives_a_secret_again_only_to_a_session_that_lives(
    client_for: Callable[[str], httpx.Client], settings: Any
) -> None:
    settings.SESSION_POLICY = "sensitive"
    client = client_for("alice@example.com")

    def make() -> httpx.Response:
        return client.post("/api/v1/llm/keys", headers=KEY, json={"name": "cron"})

    first, again = make(), make()
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["secret"] == first.json()["secret"]
    supabase.sign_out(client.headers["authorization"].removeprefix("Bearer ").encode())
    cache.clear_all()

    assert code_of(make()) == (401, "caller_token_revoked")


@pytest.mark.parametrize("kind", ["application/yaml", "text/plain", "application/octet-stream"])
def test_takes_bodies_of_any_kind_and_size(post: Post, kind: str) -> None:
    body = "имя: значение\n".encode() * 100_000
    headers = {**KEY, "content-type": kind}

    first, second = (post("/api/v1/test/raw", headers=headers, content=body) for _ in range(2))

    assert first.json() == second.json() == {"bytes": len(body)}
    assert done == ["raw"]


def test_takes_forms(post: Post) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'
    headers = {**KEY, "content-type": "multipart/form-data; boundary=b"}

    first, second = (post(f"{THINGS}/one", headers=headers, content=form) for _ in range(2))

    assert first.json()["given"] == {"a": "1"}
    assert second.headers["idempotent-replayed"] == "true"


def test_leaves_the_limit_of_a_body_to_the_view(post: Post, settings: Settings) -> None:
    settings.MAX_JSON_BYTES = 10

    answer = post("/api/v1/llm/keys", json={"name": "1234567890"})

    assert code_of(answer) == (413, "caller_body_too_large")
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb"])
def test_refuses_what_is_no_key(post: Post, key: str) -> None:
    answer = post(f"{THINGS}/one", headers={"idempotency-key": key}, json={})

    assert code_of(answer) == (400, "caller_request_malformed")
    assert answer.json()["error"]["param"] == "Idempotency-Key"
    assert not done


def test_says_that_a_streamed_answer_is_not_kept(post: Post) -> None:
    assert post("/api/v1/test/streaming").content == b"ab"

    answer = post("/api/v1/test/streaming")

    assert code_of(answer) == (409, "caller_idempotency_answer_not_kept")
    assert done == ["stream"]


def test_serves_viewsets_and_their_actions(post: Post) -> None:
    for target in ("", "/7/suspend", "/8/suspend"):
        for _ in range(2):
            assert post(f"/api/v1/test/agents{target}").status_code == 204

    assert done == ["create", "suspend 7", "suspend 8"]


def test_knows_no_keys_where_nobody_signs_in(post: Post) -> None:
    for _ in range(2):
        assert post("/api/v1/test/public").status_code == 200
        assert post("/api/v1/test/agents/7/wave").status_code == 204

    assert done == ["public", "wave 7", "public", "wave 7"]
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_leaves_other_methods_alone(client_for: Callable[[str], httpx.Client], method: str) -> None:
    alice = client_for("alice@example.com")
    for _ in range(2):
        assert alice.request(method, f"{THINGS}/one", headers=KEY).status_code == 201

    assert len(done) == 2


@pytest.mark.parametrize(
    ("headers", "code"),
    [({}, "caller_token_missing"), ({"authorization": "Bearer nonsense"}, "caller_token_invalid")],
)
def test_reserves_nothing_for_strangers(gateway: str, headers: dict[str, str], code: str) -> None:
    answer = httpx.post(f"{gateway}{THINGS}/one", headers={**KEY, **headers}, json={})

    assert code_of(answer) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert not done
    assert not IdempotencyRecord.objects.exists()


def test_gives_nothing_again_to_somebody_who_is_suspended_meanwhile(post: Post) -> None:
    post(f"{THINGS}/one", json={})
    user = User.objects.get()
    suspend_user(user_id=user.pk, by=user)

    assert code_of(post(f"{THINGS}/one", json={})) == (403, "policy_account_suspended")


def test_does_nothing_when_the_key_can_not_be_reserved(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(services, "reserve", fail)

    assert code_of(post(f"{THINGS}/one", json={})) == (503, "gateway_database_unavailable")
    assert not done


def test_gives_the_secrets_of_an_api_key_again(post: Post) -> None:
    keys = "/api/v1/llm/keys"
    first, second = (post(keys, json={"name": "cron"}) for _ in range(2))
    rotate = f"{keys}/{first.json()['id']}/rotate"
    third, fourth = (post(rotate, json={}) for _ in range(2))

    assert [answer.status_code for answer in (first, second, third, fourth)] == [201, 201, 200, 200]
    assert first.json()["secret"] == second.json()["secret"]
    assert third.json()["secret"] == fourth.json()["secret"] != first.json()["secret"]
    assert second.headers["cache-control"] == fourth.headers["cache-control"] == "no-store"
    assert ApiKey.objects.count() == 1
    kept = str(IdempotencyRecord.objects.values())
    assert first.json()["secret"] not in kept
    assert third.json()["secret"] not in kept


def test_publishes_a_template_once(post: Post) -> None:
    file = yaml.safe_dump(agent_file()).encode()
    headers = {**KEY, "content-type": "application/yaml"}
    first, second = (
        post("/api/v1/templates/publish?tags=blue", headers=headers, content=file) for _ in range(2)
    )

    assert first.status_code == second.status_code == 201, first.text
    assert first.json() == second.json()
    assert first.headers["location"] == second.headers["location"]
    assert second.headers["idempotent-replayed"] == "true"


def test_serves_synchronous_servers_too(
    db: None, client: Client, supabase: RunningSupabase
) -> None:
    del db
    headers = {"authorization": f"Bearer {supabase.token()}", **KEY}
    answers = [
        client.post(f"{THINGS}/one", {}, content_type="application/json", headers=headers)
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1]["Idempotent-Replayed"] == "true"
    assert done == ["one"]
