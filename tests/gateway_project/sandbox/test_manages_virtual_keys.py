"""The key and user routes of the LiteLLM stand-in, as the real proxy's transcripts show them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import httpx
import pytest

from tests.conftest import Running

Post = Callable[..., httpx.Response]


@pytest.fixture
def admin(litellm: Running) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {litellm.credentials['LITELLM_MASTER_KEY']}"}
    with httpx.Client(base_url=litellm.url, headers=headers) as client:
        yield client


@pytest.fixture
def post(admin: httpx.Client) -> Post:
    def post(path: str, **body: Any) -> httpx.Response:
        return admin.post(path, json=body)

    return post


def _error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["type"]


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_makes_a_user_once(post: Post, admin: httpx.Client) -> None:
    wish = {"user_id": "u1", "user_email": "u1@x.io", "auto_create_key": False, "max_budget": 10}
    made = post("/user/new", **wish)
    assert (made.status_code, made.json()["key"], made.json()["max_budget"]) == (200, "", 10)
    again = post("/user/new", user_id="u1", auto_create_key=False)
    assert _error(again) == (409, "invalid_request_error")
    assert "User with id u1 already exists" in again.json()["error"]["message"]
    assert post("/user/new", user_id="u2", user_email="u1@x.io").status_code == 409
    info = admin.get("/user/info", params={"user_id": "u1"}).json()
    assert (info["user_info"]["user_email"], info["keys"]) == ("u1@x.io", [])


def test_makes_a_key_for_a_user_unless_told_not_to(post: Post, admin: httpx.Client) -> None:
    key = post("/user/new", user_id="u1").json()["key"]
    assert key.startswith("sk-")
    assert len(admin.get("/user/info", params={"user_id": "u1"}).json()["keys"]) == 1


@pytest.mark.parametrize(
    ("members", "status"),
    [({"user_role": "nonsense"}, 422), ({"max_budget": "abc"}, 422), ({"max_budget": -1}, 200)],
)
def test_checks_a_user_as_little_as_the_real_one(
    post: Post, members: dict[str, Any], status: int
) -> None:
    assert post("/user/new", auto_create_key=False, **members).status_code == status


def test_replaces_metadata_and_makes_a_missing_user_on_update(
    post: Post, admin: httpx.Client
) -> None:
    post("/user/new", user_id="u1", metadata={"a": 1}, auto_create_key=False)
    changed = post("/user/update", user_id="u1", metadata={"b": 2}, max_budget=5).json()
    assert (changed["data"]["metadata"], changed["data"]["max_budget"]) == ({"b": 2}, 5)
    assert post("/user/update", user_id="new", max_budget=5).status_code == 200
    assert admin.get("/v2/user/info", params={"user_id": "new"}).json()["max_budget"] == 5


def test_deletes_users_with_their_keys(post: Post, admin: httpx.Client) -> None:
    post("/user/new", user_id="u1", auto_create_key=False)
    post("/key/generate", key="sk-a", user_id="u1")
    assert post("/user/delete", user_ids=["u1"]).json() == 1
    assert post("/user/delete", user_ids=["u1"]).status_code == 404
    assert admin.get("/user/info", params={"user_id": "u1"}).status_code == 404
    assert admin.get("/key/list", params={"user_id": "u1"}).json()["total_count"] == 0


def test_finds_users_by_a_part_of_the_id(post: Post, admin: httpx.Client) -> None:
    for user_id in ("u-1", "u-1-more", "u-2"):
        post("/user/new", user_id=user_id, auto_create_key=False)
    found = admin.get("/user/list", params={"user_ids": "u-1"}).json()
    assert [user["user_id"] for user in found["users"]] == ["u-1-more", "u-1"]
    both = admin.get("/user/list", params={"user_ids": "u-1,u-2"}).json()
    assert both["total"] == 2
    assert admin.get("/user/list", params={"page_size": 1000}).status_code == 422


def test_does_not_free_a_users_models_again(post: Post, admin: httpx.Client) -> None:
    post("/user/new", user_id="u1", models=["mock-gpt"], auto_create_key=False)
    post("/user/update", user_id="u1", models=[], max_budget=None)
    assert admin.get("/v2/user/info", params={"user_id": "u1"}).json()["models"] == ["mock-gpt"]


@pytest.mark.parametrize(
    ("duration", "is_due"),
    [
        ("1d", lambda now: now.date() + timedelta(days=1)),
        ("7d", lambda now: now.date() + timedelta(days=7 - now.weekday())),
        ("30d", lambda now: (now.date().replace(day=1) + timedelta(days=32)).replace(day=1)),
    ],
)
def test_renews_budgets_with_the_calendar(
    post: Post, admin: httpx.Client, duration: str, is_due: Callable[[datetime], date]
) -> None:
    before = datetime.now(UTC)
    post("/user/new", user_id="u1", max_budget=1, budget_duration=duration, auto_create_key=False)
    reset_at = admin.get("/v2/user/info", params={"user_id": "u1"}).json()["budget_reset_at"]
    due = {is_due(moment) for moment in (before, datetime.now(UTC))}
    moment = datetime.fromisoformat(reset_at)
    assert moment.date() in due
    assert moment.time() == time(0)
    post("/user/update", user_id="u1", budget_duration=None)
    after = admin.get("/v2/user/info", params={"user_id": "u1"}).json()
    assert (after["budget_reset_at"], after["max_budget"]) == (None, 1)


def test_refuses_the_alias_of_a_key_for_its_own_value_too(post: Post) -> None:
    post("/key/generate", key="sk-own", key_alias="one")
    again = post("/key/generate", key="sk-own", key_alias="one")
    assert _error(again) == (400, "bad_request_error")
    assert again.json()["error"]["param"] == "key_alias"
    assert post("/key/update", key="sk-own", key_alias="one").status_code == 200


def test_makes_a_key_that_has_spent_before(post: Post, admin: httpx.Client) -> None:
    post("/key/generate", key="sk-own", spend=0.5, max_budget=0.5)
    info = admin.get("/key/info", params={"key": "sk-own"}).json()["info"]
    assert (info["spend"], info["max_budget"]) == (0.5, 0.5)


def test_lists_in_the_order_that_is_asked_for(post: Post, admin: httpx.Client) -> None:
    for name in ("b", "a", "c"):
        post("/user/new", user_id=name, auto_create_key=False)
        post("/key/generate", key=f"sk-{name}", user_id=name)
    query = {"sort_by": "user_id", "sort_order": "asc", "return_full_object": "true"}
    users = admin.get("/user/list", params=query).json()["users"]
    keys = admin.get("/key/list", params=query).json()["keys"]
    assert [row["user_id"] for row in users] == [row["user_id"] for row in keys] == ["a", "b", "c"]


def test_keeps_the_first_row_of_a_key_value(post: Post, admin: httpx.Client) -> None:
    post("/key/generate", key="sk-own", user_id="u1", key_alias="one", max_budget=5)
    again = post("/key/generate", key="sk-own", user_id="u2", key_alias="two")
    assert (again.status_code, again.json()["user_id"]) == (200, "u2")
    stored = admin.get("/key/info", params={"key": "sk-own"}).json()["info"]
    assert (stored["user_id"], stored["key_alias"], stored["max_budget"]) == ("u1", "one", 5)


def test_answers_the_hash_and_never_the_value_again(post: Post, admin: httpx.Client) -> None:
    made = post("/key/generate", key="sk-secret-value", user_id="u1").json()
    assert (made["key"], made["token"]) == ("sk-secret-value", _hash("sk-secret-value"))
    assert made["key_name"] == "sk-...alue"
    listed = admin.get("/key/list", params={"return_full_object": "true"})
    assert "sk-secret-value" not in listed.text
    assert listed.json()["keys"][0]["token"] == made["token"]


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"key": "own-value"}, (400, "invalid_request_error")),
        ({"key_alias": "taken"}, (400, "bad_request_error")),
        ({"duration": "xyz"}, (500, "internal_server_error")),
        ({"max_budget": -5}, (400, "invalid_request_error")),
    ],
)
def test_refuses_bad_keys(post: Post, wish: dict[str, Any], error: tuple[int, str]) -> None:
    post("/key/generate", key_alias="taken")
    assert _error(post("/key/generate", **wish)) == error


def test_gives_the_alias_of_a_deleted_key_free(post: Post) -> None:
    post("/key/generate", key="sk-1", key_alias="a")
    post("/key/delete", keys=["sk-1"])
    assert post("/key/generate", key="sk-2", key_alias="a").status_code == 200


def test_changes_a_key_by_value_or_hash(post: Post, admin: httpx.Client) -> None:
    post("/key/generate", key="sk-1", duration="1h", models=["mock-gpt"], rpm_limit=5)
    post("/key/update", key="sk-1", max_budget=2, metadata={"a": 1})
    post("/key/update", key=_hash("sk-1"), duration="-1", rpm_limit=7)
    info = admin.get("/key/info", params={"key": _hash("sk-1")}).json()["info"]
    assert (info["max_budget"], info["rpm_limit"], info["expires"]) == (2, 7, None)
    assert (info["models"], info["status"]) == (["mock-gpt"], "active")
    assert _error(post("/key/update", key="sk-nope")) == (404, "not_found_error")


def test_deletes_by_value_hash_or_alias(post: Post, admin: httpx.Client) -> None:
    for number in range(3):
        post("/key/generate", key=f"sk-{number}", key_alias=f"alias-{number}")
    gone = post("/key/delete", keys=["sk-0", _hash("sk-1"), "sk-nope"])
    assert gone.json() == {"deleted_keys": ["sk-0", _hash("sk-1")]}
    assert post("/key/delete", key_aliases=["alias-2"]).status_code == 200
    assert post("/key/delete", keys=["sk-0"]).status_code == 404
    info = admin.get("/key/info", params={"key": "sk-0"})
    assert (info.status_code, info.json()["info"]["status"]) == (200, "deleted")
    assert admin.get("/key/info", params={"key": "sk-never"}).status_code == 404


def test_lists_keys_in_pages(post: Post, admin: httpx.Client) -> None:
    for number in range(3):
        post("/key/generate", key=f"sk-{number}", user_id="u1")
    page = admin.get("/key/list", params={"user_id": "u1", "size": 2, "page": 2}).json()
    assert page == {
        "keys": [_hash("sk-0")],
        "total_count": 3,
        "current_page": 2,
        "total_pages": 2,
    }
    assert admin.get("/key/list", params={"size": 500}).status_code == 422


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key", "x-litellm-api-key"])
def test_takes_a_key_from_any_of_its_headers(post: Post, litellm: Running, header: str) -> None:
    post("/key/generate", key="sk-1")
    value = "Bearer sk-1" if header in {"authorization", "x-litellm-api-key"} else "sk-1"
    assert litellm.client.get("/v1/models", headers={header: value}).status_code == 200


def test_tells_bad_keys_apart(post: Post, litellm: Running) -> None:
    def models(key: str) -> tuple[int, str]:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return _error(litellm.client.get("/v1/models", headers=headers))

    post("/key/generate", key="sk-old", duration="1s")
    post("/key/generate", key="sk-blocked")
    post("/key/block", key="sk-blocked")
    litellm.client.post("/_sandbox/clock", json={"offset": 5})
    assert models("") == (401, "auth_error")
    assert models("plain") == (401, "auth_error")
    assert models("sk-unknown") == (401, "token_not_found_in_db")
    assert models("sk-blocked") == (401, "auth_error")
    assert models("sk-old") == (401, "expired_key")
    post("/key/unblock", key="sk-blocked")
    headers = {"authorization": "Bearer sk-blocked"}
    assert litellm.client.get("/v1/models", headers=headers).status_code == 200


def test_lets_default_keys_mint_others_and_llm_keys_not(post: Post, litellm: Running) -> None:
    def mint(key: str) -> int:
        headers = {"authorization": f"Bearer {key}"}
        wish = {"max_budget": 1000}
        return litellm.client.post("/key/generate", json=wish, headers=headers).status_code

    post("/user/new", user_id="u1", user_role="internal_user", auto_create_key=False)
    post("/key/generate", key="sk-default", user_id="u1")
    post("/key/generate", key="sk-llm", user_id="u1", key_type="llm_api")
    post("/key/generate", key="sk-nobody", user_id="ghost")
    assert mint("sk-default") == 200
    assert mint("sk-llm") == 403
    assert mint("sk-nobody") == 401


def test_says_that_it_lives_without_a_key(litellm: Running) -> None:
    assert litellm.client.get("/health/liveliness").json() == "I'm alive!"
    ready = litellm.client.get("/health/readiness").json()
    assert ready == {"status": "healthy", "db": "connected"}
    assert litellm.client.get("/health/readiness/details").status_code == 401
    assert litellm.client.get("/nothing").json() == {"detail": "Not Found"}
