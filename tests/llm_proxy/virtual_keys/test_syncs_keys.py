from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Plan
from gateway_core import cache
from gateway_core.advisory import only_one
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.models import VirtualKey
from llm_proxy.virtual_keys import standing
from tests.conftest import Running
from tests.llm_proxy.conftest import LiteLLMBooks

UseKey = Callable[..., str]
State = VirtualKey.State


def sync(*options: str) -> str:
    out = StringIO()
    call_command("sync_keys", *options, stdout=out)
    return out.getvalue()


def done(report: str) -> dict[str, int]:
    """Return what is not zero in the last line."""
    assert report.startswith("LiteLLM has")
    last = report.splitlines()[-1]
    counts = {name.strip(): int(count) for name, count in re.findall(r"([a-z ]+) (\d+)[,;]", last)}
    counts |= {name: int(count) for count, name in re.findall(r"(\d+) (left|failed)", last)}
    return {name: count for name, count in counts.items() if count}


def key_of(user_id: UUID) -> VirtualKey:
    return VirtualKey.objects.get(user_id=user_id, kind=VirtualKey.Kind.MANAGED)


def api_key_of(user_id: UUID, **fields: object) -> ApiKey:
    return ApiKey.objects.create(
        user_id=user_id,
        name="ci",
        hint="gwk_ab",
        secret_hash=uuid4().hex * 2,
        scopes=["llm"],
        **fields,
    )


def assert_agreed(books: LiteLLMBooks, *user_ids: UUID) -> None:
    """LiteLLM has the living keys and no others, and nothing is left to do."""
    keys = VirtualKey.objects.filter(user_id__in=user_ids)
    listed = [key["token"] for user_id in user_ids for key in books.keys_of(user_id)]
    assert sorted(listed) == sorted(key.token_hash for key in keys)
    assert done(sync()) == {}


def test_has_nothing_to_do_when_all_agrees(
    alice: UUID, use_key: UseKey, litellm: Running, books: LiteLLMBooks
) -> None:
    use_key(alice)
    use_key(alice, api_key_of(alice, budget=3, allowed_models=["gpt-4o"]).pk)
    before = len(litellm.requests())
    assert done(sync()) == {}
    assert [call["method"] for call in litellm.requests()[before:]] == ["GET", "GET"]
    assert_agreed(books, alice)


def test_makes_again_what_was_deleted_behind_our_back(
    alice: UUID, bob: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    credential = use_key(alice)
    use_key(bob)
    books.post("/key/delete", {"keys": [key_of(alice).token_hash]})
    assert done(sync()) == {"make": 1}
    assert use_key(alice) == credential
    assert_agreed(books, alice, bob)


def test_makes_a_user_again_that_was_deleted_behind_our_back(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    use_key(alice)
    books.post("/user/delete", {"user_ids": [str(alice)]})
    assert done(sync()) == {"make": 1}
    user = books.get("/v2/user/info", user_id=alice)
    assert (user["user_role"], user["max_budget"]) == ("internal_user", 10)
    assert_agreed(books, alice)


def test_adopts_a_key_whose_making_was_not_written_down(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    use_key(alice)
    VirtualKey.objects.update(state=State.CREATING, applied_limits="")
    assert done(sync()) == {"make": 1}
    assert key_of(alice).state == State.ACTIVE
    assert_agreed(books, alice)


def test_makes_a_key_of_which_litellm_never_heard(alice: UUID, books: LiteLLMBooks) -> None:
    VirtualKey.objects.managed(alice)
    assert done(sync()) == {"make": 1}
    assert_agreed(books, alice)


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("/key/update", {"models": ["mock-gpt"]}),
        ("/key/update", {"max_parallel_requests": 1}),
        ("/key/update", {"max_budget": 0}),
        ("/key/update", {"user_id": "mallory"}),
        ("/key/update", {"rpm_limit": 1}),
        ("/key/update", {"tpm_limit": 1}),
        ("/key/update", {"duration": "1h"}),
        ("/user/update", {"max_budget": 1000}),
        ("/user/update", {"rpm_limit": 5}),
        ("/user/update", {"budget_duration": None}),
    ],
)
def test_takes_back_what_was_changed_behind_our_back(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks, path: str, change: dict[str, object]
) -> None:
    use_key(alice)
    subject = {"key": key_of(alice).token_hash} if "key" in path else {"user_id": str(alice)}
    books.post(path, {**subject, **change})
    assert done(sync()) == {"change": 1}
    assert_agreed(books, alice)


def test_tells_litellm_of_a_changed_plan_for_users_who_are_idle(
    alice: UUID, bob: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    for user_id in (alice, bob):
        use_key(user_id)
        use_key(user_id, api_key_of(user_id).pk)
    Plan.objects.update(budget=3, allowed_models=["openai/*"])
    assert done(sync()) == {"change": 4}
    assert books.get("/v2/user/info", user_id=bob)["max_budget"] == 3
    assert {tuple(key["models"]) for key in books.keys_of(bob)} == {("openai/*",)}
    assert_agreed(books, alice, bob)


def test_one_step_is_enough_for_a_user_with_several_keys(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    use_key(alice)
    use_key(alice, api_key_of(alice).pk)
    books.post("/user/update", {"user_id": str(alice), "max_budget": 1000})
    assert done(sync()) == {"change": 1}


def test_a_user_one_of_whose_keys_retires_is_held_to_the_right_limits(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    over = api_key_of(alice)
    use_key(alice, over.pk)
    use_key(alice)
    ApiKey.objects.filter(pk=over.pk).update(revoked_at=timezone.now())
    books.post("/user/update", {"user_id": str(alice), "max_budget": 1000})
    assert done(sync()) == {"change": 1, "retire": 1}
    assert_agreed(books, alice)


@pytest.mark.parametrize("state", [State.BLOCKED, State.ACTIVE])
def test_tells_litellm_what_is_blocked(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks, state: State
) -> None:
    use_key(alice)
    VirtualKey.objects.update(state=state)
    is_blocked = state == State.BLOCKED
    books.post("/key/update", {"key": key_of(alice).token_hash, "blocked": not is_blocked})
    assert done(sync()) == {"block" if is_blocked else "unblock": 1}
    assert key_of(alice).state == state
    (key,) = books.keys_of(alice)
    assert key["blocked"] is is_blocked
    assert_agreed(books, alice)


def test_leaves_a_blocked_key_alone_that_litellm_lacks(alice: UUID, books: LiteLLMBooks) -> None:
    VirtualKey.objects.managed(alice)
    VirtualKey.objects.update(state=State.BLOCKED)
    assert done(sync()) == {}
    assert books.keys_of(alice) == []


@pytest.mark.parametrize("is_there", [True, False])
def test_finishes_what_was_retired(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks, is_there: object
) -> None:
    use_key(alice)
    VirtualKey.objects.update(state=State.RETIRING)
    if not is_there:
        books.post("/key/delete", {"keys": [VirtualKey.objects.get().token_hash]})
    assert done(sync()) == {"retire": 1}
    assert not VirtualKey.objects.exists()
    assert_agreed(books, alice)


@pytest.mark.parametrize("ended", ["revoked_at", "expires_at"])
def test_retires_keys_of_api_keys_that_have_ended(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks, ended: str
) -> None:
    use_key(alice)
    use_key(alice, api_key_of(alice).pk)
    over = api_key_of(alice)
    use_key(alice, over.pk)
    ApiKey.objects.filter(pk=over.pk).update(**{ended: timezone.now() - timedelta(minutes=1)})
    assert done(sync()) == {"retire": 1}
    over.refresh_from_db()
    assert over.virtual_key is None
    assert_agreed(books, alice)


def test_deletes_only_when_told_to_what_only_litellm_has(
    alice: UUID, bob: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    use_key(alice)
    use_key(bob)
    VirtualKey.objects.filter(user_id=alice).delete()
    get_user_model().objects.filter(pk=alice).delete()
    assert done(sync()) == {"left": 2}
    assert len(books.keys_of(alice)) == 1
    assert done(sync("--prune")) == {"delete key": 1, "delete user": 1}
    assert books.keys_of(alice) == []
    assert books.users() == [str(bob)]
    assert_agreed(books, bob)


def test_never_deletes_what_this_gateway_has_not_made(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    use_key(alice)
    other = {"gateway": str(uuid4())}
    for number, metadata in enumerate(({}, other, {"gateway": ["x"]})):
        stranger = str(uuid4())
        books.post("/user/new", {"user_id": stranger, "metadata": metadata})
        for alias in (f"gw:{stranger}:{number}", f"team {number}", None):
            books.post(
                "/key/generate", {"user_id": stranger, "key_alias": alias, "metadata": metadata}
            )
    ours = {"gateway": str(standing.installation_id())}
    books.post("/user/new", {"user_id": "no uuid", "metadata": ours, "auto_create_key": False})
    before = books.get("/key/list", size=100)["keys"], books.users()
    report = sync("--prune")
    assert done(report) == {}
    assert "3 keys named as ours are another gateway's" in report
    assert (books.get("/key/list", size=100)["keys"], books.users()) == before


def test_a_dry_run_prints_the_plan_and_does_nothing(
    alice: UUID, bob: UUID, use_key: UseKey, litellm: Running
) -> None:
    use_key(alice)
    use_key(bob)
    VirtualKey.objects.filter(user_id=alice).update(state=State.BLOCKED)
    VirtualKey.objects.filter(user_id=bob).delete()
    before = len(litellm.requests()), list(VirtualKey.objects.values())
    report = sync("--dry-run", "--prune")
    assert f"block       {key_of(alice).pk} of user {alice}: LiteLLM was not told" in report
    assert f"of user {bob}: only LiteLLM has it" in report
    assert "1 to block" in report
    assert "1 to delete key" in report
    assert report.endswith("nothing was done\n")
    assert list(VirtualKey.objects.values()) == before[1]
    assert {call["method"] for call in litellm.requests()[before[0] :]} == {"GET"}


def test_reads_every_page(alice: UUID, use_key: UseKey, books: LiteLLMBooks) -> None:
    for number in range(101):
        stranger = f"u{number}"
        books.post("/user/new", {"user_id": stranger, "auto_create_key": False})
        books.post("/key/generate", {"key": f"sk-{number}", "user_id": stranger})
    use_key(alice)
    VirtualKey.objects.update(state=State.BLOCKED)
    assert done(sync()) == {"block": 1}


def test_a_second_run_at_the_same_time_does_nothing(alice: UUID, litellm: Running) -> None:
    VirtualKey.objects.managed(alice)
    before = len(litellm.requests())
    is_held, may_end = threading.Event(), threading.Event()

    def first_run() -> None:
        with only_one("sync_keys"):
            is_held.set()
            may_end.wait(10)
        connection.close()

    other = threading.Thread(target=first_run)
    other.start()
    assert is_held.wait(10)
    with pytest.raises(CommandError, match="Another process"):
        sync()
    assert len(litellm.requests()) == before
    may_end.set()
    other.join()
    assert done(sync()) == {"make": 1}


def test_goes_on_where_it_was_stopped(
    alice: UUID, bob: UUID, use_key: UseKey, litellm: Running, books: LiteLLMBooks
) -> None:
    use_key(alice)
    use_key(bob)
    Plan.objects.update(budget=3)
    litellm.fault(
        "^/key/update$", times=1, status=503, body={"error": {"type": "no_db_connection"}}
    )
    with pytest.raises(CommandError, match="run it again"):
        sync()
    sync()
    assert_agreed(books, alice, bob)


def test_one_step_that_fails_does_not_keep_others_from_being_done(
    alice: UUID, bob: UUID, use_key: UseKey, litellm: Running
) -> None:
    use_key(alice)
    use_key(bob)
    Plan.objects.update(budget=3)
    litellm.fault("^/key/update$", times=1, status=500, body={"error": {"type": "internal"}})
    with pytest.raises(CommandError, match="Steps that failed: 1"):
        sync()
    assert done(sync()) == {"change": 1}


def test_says_that_litellm_is_away(litellm_alone: None, settings: Settings) -> None:
    del litellm_alone
    settings.LITELLM_BASE_URL = "http://127.0.0.1:9"
    with pytest.raises(CommandError, match="can't be reached"):
        sync()


def test_a_key_that_others_make_meanwhile_is_no_orphan(
    alice: UUID, use_key: UseKey, litellm: Running, books: LiteLLMBooks
) -> None:
    """LiteLLM lists a key whose row is written after its page was compared."""
    use_key(alice)
    row = VirtualKey.objects.get()
    row.delete()
    out = StringIO()
    litellm.fault("^/user/list$", times=1, delay=0)
    plan_made = standing.of_keys

    def add_row_late(keys: list[VirtualKey]) -> object:
        found = plan_made(keys)
        if not VirtualKey.objects.exists():
            row.save(force_insert=True)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standing, "of_keys", add_row_late)
        call_command("sync_keys", "--prune", stdout=out)
    assert len(books.keys_of(alice)) == 1
    cache.clear_all()
