from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import RFC_4122, UUID, uuid4

import orjson
import pytest
from django.contrib.auth import get_user_model
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.audit.events import encode, is_worth_keeping, line_of, new_id
from gateway_core.audit.models import AuditEvent
from gateway_core.audit.shipper import ship

if TYPE_CHECKING:
    from pathlib import Path

    from gateway_core.audit.spool import Spool
    from tests.gateway_core.audit.conftest import MakeRecord


@pytest.mark.django_db
def test_row_says_all_that_the_record_knew(spool: Spool, make_record: MakeRecord) -> None:
    user = get_user_model().objects.create_user("alice", email="alice@example.com")
    record = make_record(
        user_id=str(user.pk),
        status=502,
        error_code="upstream_failed",
        bytes_in=123,
        bytes_out=2**40,
        facts={"resource": "model:small", "input_tokens": 5},
    )
    before = datetime.now(UTC)
    spool.append(line_of(record))
    spool.hand_over()

    ship(spool)

    row = dict(AuditEvent.objects.filter(request_id=record.request_id).values().get())
    assert before <= cast("datetime", row.pop("at")) <= datetime.now(UTC)
    assert isinstance(row.pop("id"), UUID)
    assert isinstance(row.pop("salt"), UUID)
    assert (row.pop("batch"), row.pop("replaces")) == (1, b"")
    assert row == {
        "plane": "data",
        "action": "chat_completions",
        "route": "llm",
        "method": "POST",
        "path": "/api/v1/llm/chat/completions",
        "user_id": user.pk,
        "user_email": "alice@example.com",
        "resource": "model:small",
        "client_ip": "203.0.113.7",
        "request_id": "req_0123456789",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "status": 502,
        "code": "upstream_failed",
        "duration_ms": 1500,
        "first_byte_ms": 250,
        "bytes_in": 123,
        "bytes_out": 2**40,
        "facts": {"input_tokens": 5},
    }


@pytest.mark.django_db
def test_row_names_nobody_when_the_user_is_not_known(spool: Spool, make_record: MakeRecord) -> None:
    nobody, gone = uuid4(), uuid4()
    spool.append(line_of(make_record(request_id=f"{nobody}", user_id="")))
    spool.append(line_of(make_record(request_id=f"{gone}", user_id=str(gone))))
    spool.hand_over()

    ship(spool)

    rows = AuditEvent.objects.filter(request_id__in=[str(nobody), str(gone)])
    assert set(rows.values_list("user_id", "user_email")) == {(None, ""), (gone, "")}


def test_line_holds_no_secret(spool: Spool, spool_directory: Path, make_record: MakeRecord) -> None:
    facts = {"api_key": "sk-one", "inner": {"authorization": "Bearer two", "model": "small"}}

    spool.append(line_of(make_record(facts=facts)))

    (file,) = spool_directory.iterdir()
    content = file.read_bytes()
    assert b"sk-one" not in content
    assert b"two" not in content
    assert b"small" in content


@pytest.mark.parametrize(
    "value",
    ["\ud800", {"\udfff": 1}, 2**70, [2**64, "\ud800"], object(), {"a", "b"}],
    ids=repr,
)
def test_line_is_made_whatever_the_facts_are(value: Any, make_record: MakeRecord) -> None:
    line = line_of(make_record(facts={"odd": value, "number": 7}))

    event = orjson.loads(line)
    assert line.count(b"\n") == 1
    assert event["facts"]["number"] == 7
    assert event["status"] == 200


def test_line_is_made_when_facts_are_deeper_than_json_may_be(make_record: MakeRecord) -> None:
    deep: Any = "bottom"
    for _ in range(300):
        deep = [deep]

    assert orjson.loads(line_of(make_record(facts={"deep": deep})))["facts"]["deep"]


@pytest.mark.parametrize(
    ("route", "method", "path", "is_kept"),
    [
        ("llm", "POST", "/api/v1/llm/chat/completions", True),
        ("llm", "GET", "/api/v1/llm/models", True),
        ("llm", "GET", "/docs", True),
        ("letta", "OPTIONS", "/api/v1/letta/agents", False),
        ("control", "GET", "/api/v1/me", True),
        ("control", "GET", "/admin/audit/auditevent/", True),
        ("control", "GET", "/api/v1/system/upstreams", True),
        ("control", "GET", "/api/v1/system/health", False),
        ("control", "HEAD", "/api/v1/system/ready/", False),
        ("control", "POST", "/api/v1/system/health", True),
        ("control", "GET", "/api/v1/system/healthy", True),
        ("control", "GET", "/metrics", False),
        ("control", "GET", "/static/admin/css/base.css", False),
        ("control", "GET", "/docs", False),
        ("control", "GET", "/admin/jsi18n/", False),
        ("control", "GET", "/admin/login/", False),
        ("control", "POST", "/admin/login/", True),
        ("control", "GET", "/admin/", True),
        ("control", "GET", "/documents", True),
        ("control", "GET", "/secrets/static/", True),
        ("control", "GET", "/api/schema", False),
        ("control", "GET", "/", True),
    ],
)
def test_keeps_requests_that_somebody_may_ask_about(
    *, route: str, method: str, path: str, is_kept: bool, make_record: MakeRecord
) -> None:
    assert is_worth_keeping(make_record(route=route, method=method, path=path)) is is_kept


@pytest.mark.parametrize("route", ["server", "llm", "control"])
@pytest.mark.parametrize("status", [0, 302, 400, 401, 403, 408, 413, 418, 429, 499, 500, 503])
def test_keeps_nothing_that_strangers_could_fill_it_with(
    status: int, route: str, make_record: MakeRecord
) -> None:
    stranger = make_record(route=route, user_id="", status=status)
    somebody = make_record(route=route, user_id=str(uuid4()), status=status)
    assert (is_worth_keeping(stranger), is_worth_keeping(somebody)) == (False, True)


def test_keeps_what_a_stranger_has_done(make_record: MakeRecord) -> None:
    assert is_worth_keeping(make_record(user_id="", status=201))


def test_ids_are_of_version_7_and_sort_by_time() -> None:
    start = datetime(2026, 11, 23, tzinfo=UTC)
    ids = [new_id(start + timedelta(milliseconds=number)) for number in range(1000)]

    assert ids == sorted(ids)
    assert {(UUID(one).version, UUID(one).variant) for one in ids} == {(7, RFC_4122)}
    assert UUID(ids[0]).int >> 80 == start.timestamp() * 1000


def test_ids_differ_when_made_at_once() -> None:
    at = datetime.fromtimestamp(time.time(), UTC)

    assert len({new_id(at) for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize(
    ("path", "facts", "resource"),
    [
        ("/api/v1/letta/agents/agent-{id}/messages", {"agent": "x"}, "agent:agent-{id}"),
        ("/api/v1/letta/agents/agent-{id}/core-memory/blocks/x", {}, "agent:agent-{id}"),
        ("/api/v1/letta/blocks/block-{id}", {}, "block:block-{id}"),
        ("/api/v1/templates/{id}/", {}, "template:{id}"),
        ("/api/v1/llm/keys/{id}/rotate", {}, "api_key:{id}"),
        ("/api/v1/agents/{id}/proxy/[secret]/chat/completions", {"model": "m"}, "model:m"),
        ("/api/v1/llm/chat/completions", {"model": "small"}, "model:small"),
        ("/api/v1/llm/models", {}, ""),
        ("/api/v1/letta/agents/agent-{id}", {"resource": "thing:1"}, "thing:1"),
    ],
)
def test_says_what_a_request_was_about(
    path: str, facts: dict[str, Any], resource: str, make_record: MakeRecord
) -> None:
    identifier = "0b7c3b0e-6d0c-4a3e-8b53-3f0e64b7a001"
    record = make_record(path=path.replace("{id}", identifier), facts=facts)

    event = orjson.loads(line_of(record))

    assert event["resource"] == resource.replace("{id}", identifier)
    assert "resource" not in event["facts"]


_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary(max_size=5)
    | st.text(st.characters(exclude_categories=()), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=()), max_size=5), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(path=st.text(st.characters(exclude_categories=()), max_size=20), fact=_ANYTHING)
def test_writes_one_line_of_json_whatever_the_event_holds(path: str, fact: Any) -> None:
    line = encode({"path": path, "facts": {"fact": fact}})

    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    assert set(orjson.loads(line)) == {"path", "facts", "id", "at"}
