"""The proof passes against the gateway, and fails as soon as one of its checks is gone."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from letta_proxy import proxy
from letta_proxy.catalogue import CATALOGUE
from letta_proxy.catalogue.operation import offered
from letta_proxy.models import OwnedResource
from letta_proxy.policy.demands import Demands
from letta_proxy.policy.rules import Anything, Each, Fields, Text
from letta_proxy.proof import cases
from letta_proxy.proof.people import sign_up
from letta_proxy.proof.positions import gaps, positions
from letta_proxy.proof.report import Report
from letta_proxy.proof.run import Plan, check_declarations, prove
from letta_proxy.proof.trials import Who
from letta_proxy.proof.wire import Caller, LimitsReached, Request
from tests.conftest import Running, RunningSupabase
from tests.letta_proxy.conftest import EMBEDDING, MODEL

_OFFERED = [operation for operation in CATALOGUE.operations if operation.is_offered]


@pytest.fixture
def plan(gateway: str, supabase: RunningSupabase) -> Plan:
    tokens = sign_up(supabase.url, gateway)
    return Plan(base_url=gateway, tokens=tokens, model=MODEL, embedding=EMBEDDING)


def complaints(report: Report) -> str:
    return "\n".join(str(finding) for finding in report.findings)


def test_finds_no_leak(plan: Plan, letta: Running) -> None:
    report = prove(plan)

    assert complaints(report) == ""
    total = report.total()
    assert (total.offered, total.offered + total.closed) == (len(_OFFERED), 249)
    assert total.positions == sum(len(positions(operation)) for operation in _OFFERED)
    assert total.requests > 2000
    assert report.untried == []
    assert {request["method"] for request in letta.requests("^/v1/(groups|providers)")} == set()


def test_deletes_what_it_has_made(plan: Plan, letta: Running) -> None:
    prove(replace(plan, pattern="create_*"))

    made = Counter(OwnedResource.objects.values_list("kind", flat=True))
    assert not {"agent", "block", "folder", "archive"} & made.keys()
    actors = {request["headers"]["user_id"] for request in letta.requests("^/v1/agents/$")}
    for actor in actors:
        headers = {
            "authorization": f"Bearer {letta.credentials['LETTA_API_KEY']}",
            "user_id": actor,
        }
        for collection in ("agents", "blocks", "folders", "archives"):
            assert letta.client.get(f"/v1/{collection}/", headers=headers).json() == []


async def _everything_is_theirs(*_arguments: object) -> bool:
    return True


def test_fails_without_the_check_of_owners(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "owns_all", _everything_is_theirs)

    found = complaints(prove(replace(plan, pattern="/agents*")))

    for field in ("/block_ids/*", "/folder_ids/*", "/source_ids/*"):
        assert f"create_agent, other user, body {field}: the answer (200) holds" in found
        assert f"modify_agent, staff, body {field}: the answer (200) holds" in found
    # Letta itself refuses this one, but the answer has to be the gateway's in every case.
    assert "cancel_message, other user, body /run_ids/*: it is not answered as missing" in found


def test_fails_without_the_policing_of_bodies(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "read_body", lambda _exchange: Demands())

    found = complaints(prove(replace(plan, pattern="*_agent")))

    assert "create_agent, other user, body /block_ids/*: the answer (200) holds" in found
    assert "modify_agent, other user, body /block_ids/*: the answer (200) holds" in found


def test_fails_when_the_owner_is_refused(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing_is_theirs(*_arguments: object) -> bool:
        return False

    def attack(*_arguments: object) -> list[object]:
        monkeypatch.setattr(proxy, "owns_all", nothing_is_theirs)
        return []

    monkeypatch.setattr(cases, "of_a_stranger", attack)

    found = complaints(prove(replace(plan, pattern="retrieve_block")))

    assert "retrieve_block, owner, with own ids: the owner is refused: 404" in found


def test_fails_when_the_owner_is_refused_for_another_reason_than_the_state(
    plan: Plan, letta: Running
) -> None:
    """A 400 of Letta's too, where having nothing to compact may be answered with 400."""
    letta.fault("/compact$", status=400, body={"detail": "INVALID_ARGUMENT: not you"})

    found = complaints(prove(replace(plan, pattern="compact_conversation")))

    assert "compact_conversation, owner, with own ids: the owner is refused: 400" in found


def test_summarizes_before_there_is_nothing_left(plan: Plan) -> None:
    messages = replace(plan, pattern="*_messages")

    assert {"summarize_messages", "reset_messages"} <= {one.name for one in messages.operations()}
    assert complaints(prove(messages)) == ""


@pytest.mark.parametrize(
    ("operation", "gap"),
    [
        (offered("x", "GET /agents/", query="widget_id"), "query parameter widget_id"),
        (offered("x", "GET /agents/", query="identity_id"), "query parameter identity_id"),
        (offered("x", "GET /widgets/", query="after"), "known to stand in the cursor after"),
        (
            offered("x", "POST /widgets/", fields=Fields(fields={"widget_id": Text()})),
            "body field /widget_id",
        ),
        (
            offered("x", "POST /widgets/", fields=Fields(fields={"widget_ids": Each(Text())})),
            "body field /widget_ids/*",
        ),
        (
            offered("x", "POST /agents/", fields=Fields(fields={"memory_blocks": Anything()})),
            "body field /memory_blocks/*/template_id",
        ),
        (
            replace(offered("x", "GET /agents/{agent_id}"), owners={}),
            "path parameter agent_id",
        ),
    ],
)
def test_fails_when_an_id_has_no_owner_rule(operation: object, gap: str) -> None:
    assert any(gap in one for one in gaps(operation))  # type: ignore[arg-type]


@pytest.mark.parametrize("operation", _OFFERED, ids=lambda operation: operation.name)
def test_knows_the_owner_of_each_id(operation: object) -> None:
    assert gaps(operation) == []  # type: ignore[arg-type]


def test_reports_an_operation_without_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    unruled = offered("x", "GET /widgets/", query="widget_id")
    monkeypatch.setattr(CATALOGUE, "operations", (unruled,))

    report = check_declarations(Plan(base_url="", tokens={}))

    assert complaints(report) == (
        "x, anybody, declaration: query parameter widget_id has no owner rule"
    )
    with pytest.raises(CommandError, match="not proved"):
        call_command("prove_isolation", dry_run=True, stdout=StringIO())


def test_prints_what_it_did(gateway: str, supabase: RunningSupabase, tmp_path: Path) -> None:
    printed, progress, file = StringIO(), StringIO(), tmp_path / "report.json"

    call_command(
        "prove_isolation",
        base_url=gateway,
        sandbox_auth=supabase.url,
        operations="*_block",
        json=file,
        stdout=printed,
        stderr=progress,
    )

    assert "trying blocks" in progress.getvalue()
    *_, last = printed.getvalue().splitlines()
    assert last.endswith(" 0 findings")
    assert json.loads(file.read_text())["families"]["blocks"]["offered"] == 5


def test_says_whom_it_left_out(gateway: str, supabase: RunningSupabase) -> None:
    printed = StringIO()

    call_command(
        "prove_isolation",
        base_url=gateway,
        owner_token=supabase.token("alice@example.com"),
        other_token=supabase.token("bob@example.com"),
        operations="retrieve_block",
        stdout=printed,
        stderr=StringIO(),
    )

    assert f"Not tried, for want of a token: {Who.STAFF}." in printed.getvalue()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"operations": "nonsense", "dry_run": True}, "No operation is called nonsense"),
        ({"owner_token": "x"}, "Give --owner-token and --other-token; .* --sandbox-auth http"),
        ({"owner_token": "x", "other_token": "y", "base_url": "http://127.0.0.1:9"}, "tried"),
        ({"sandbox_auth": "http://127.0.0.1:9"}, "does not answer"),
    ],
)
def test_says_what_it_needs(options: dict[str, object], problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        call_command("prove_isolation", stdout=StringIO(), stderr=StringIO(), **options)


def test_needs_no_gateway_to_look_at_the_catalogue() -> None:
    printed = StringIO()

    call_command("prove_isolation", dry_run=True, stdout=printed)

    offered_closed = f"{len(_OFFERED)} operations offered, {249 - len(_OFFERED)} closed, "
    assert offered_closed in printed.getvalue()
    assert ", 0 requests, 0 findings" in printed.getvalue()


def test_says_that_it_waits_and_what_to_do_about_it(letta: Running) -> None:
    letta.fault("^/v1/agents/$", status=429, headers={"retry-after": "0"}, times=2)
    said: list[str] = []
    caller = Caller(letta.url, None, said.append)

    assert caller.send(Request(method="GET", target="/v1/agents/")).status != 429
    assert caller.sent == 3
    (line,) = said
    assert "ENABLE_RATE_LIMITING=false" in line
    caller.close()


def test_gives_up_where_limits_leave_too_little(letta: Running) -> None:
    letta.fault("^/v1/agents/$", status=429, headers={"retry-after": "0"})
    caller = Caller(letta.url, None)

    with pytest.raises(LimitsReached, match="a plan with more requests"):
        caller.send(Request(method="GET", target="/v1/agents/"))
    caller.close()
