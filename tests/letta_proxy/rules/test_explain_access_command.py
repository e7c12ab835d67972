from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from letta_proxy.models import Kind, LettaAccount, OwnedResource
from tests.letta_proxy.rules.conftest import MakeRule

pytestmark = pytest.mark.django_db(transaction=True)
AGENT = "agent-6f1c0000-0000-4000-8000-000000000001"


def account(email: str) -> User:
    user = User.objects.create(email=email)
    LettaAccount.objects.create(
        user=user, state="active", organization_id=f"org-{email}", letta_user_id=f"user-{email}"
    )
    return user


@pytest.fixture
def alice() -> User:
    user = account("alice@example.com")
    OwnedResource.objects.create(user=user, kind=Kind.AGENT, upstream_id=AGENT)
    return user


@pytest.fixture
def bob() -> User:
    return account("bob@example.com")


def run(*arguments: str, **options: Any) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("explain_access", *arguments, stdout=out, no_color=True, **options)
    except SystemExit as exit_:
        return int(str(exit_.code)), out.getvalue()
    return 0, out.getvalue()


def test_prints_what_is_allowed(alice: User) -> None:
    code, text = run("get", f"/agents/{AGENT}", user=alice.email)

    assert code == 0
    assert text.splitlines()[-1] == "allowed"
    assert f"Agent {AGENT} is the user's own." in text


def test_prints_what_is_denied_and_whose_it_is(alice: User, bob: User) -> None:
    code, text = run("GET", f"/agents/{AGENT}", user=str(bob.pk))

    assert code == 1
    assert text.splitlines()[-1] == "denied: 404 caller_not_found, by owner"
    assert f"belongs to {alice.email} ({alice.pk})" in text


def test_prints_a_document(alice: User, make_rule: MakeRule) -> None:
    rule = make_rule("", "/agents/**")

    code, text = run("DELETE", f"/api/v1/letta/v1/agents/{AGENT}", "--json", user=alice.email)

    document = json.loads(text)
    assert (code, document["answer"], document["code"]) == (1, "denied", "policy_rule_denied")
    assert rule.rule_id in [step["name"] for step in document["steps"]]


def test_reads_query_and_body(alice: User, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"input": "hi", "override_system": "x"}')
    path = f"/agents/{AGENT}/messages?unknown=1"

    code, text = run("POST", path, user=alice.email, body=str(body))

    assert code == 1
    assert "The query parameter 'unknown' is not known here." in text
    assert "/override_system" in text


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("GET", "/agents"), {"user": "nobody@example.com"}, "There is no user"),
        (("GET", "/agents"), {"user": "00000000-0000-4000-8000-000000000000"}, "There is no user"),
        (("BREW", "/agents"), {}, "BREW is not one of"),
        (("GET", "agents"), {}, "begins with a slash"),
        (("POST", "/agents"), {"body": "/no/such/file"}, "No such file"),
        (("POST", "/agents"), {"body": __file__}, "line 1 column 1"),
    ],
)
def test_refuses_bad_input(
    alice: User, arguments: tuple[str, ...], options: dict[str, str], words: str
) -> None:
    with pytest.raises(CommandError, match=words) as refusal:
        run(*arguments, **{"user": alice.email, **options})

    assert refusal.value.returncode == 2


def test_wants_the_id_where_an_address_is_not_enough(alice: User) -> None:
    User.objects.create(email=alice.email)

    with pytest.raises(CommandError, match="Several users"):
        run("GET", "/agents", user=alice.email)
