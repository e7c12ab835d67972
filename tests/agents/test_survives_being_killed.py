"""Wherever a process dies over an agent, ``reconcile_agents`` brings rows and Letta together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from agents.models import Agent, Status
from letta_proxy.models import Kind, OwnedResource
from tests.agents.conftest import BOTH_DRIVERS, Caller, InLetta, agent_file, rows

pytestmark = BOTH_DRIVERS

_CHECKOUT = Path(__file__).resolve().parents[2]
_PROGRAM = Path(__file__).parent / "programs" / "dies.py"
_MOST_EFFECTS = 200


@dataclass(frozen=True)
class Mortal:
    """A process that dies as often as it is told to."""

    process: subprocess.Popen[str]

    def do(self, what: str, *, user: str, die_after: int, **named: Any) -> str:
        """Return ``died``, or ``done`` when it was done before that."""
        wish = {"do": what, "user": user, "die_after": die_after, **named}
        cast("IO[str]", self.process.stdin).write(json.dumps(wish) + "\n")
        cast("IO[str]", self.process.stdin).flush()
        return cast("IO[str]", self.process.stdout).readline().strip()


@pytest.fixture
def mortal(driver: str) -> Iterator[Mortal]:
    del driver
    ams = {"AMS_BASE_URL": settings.AMS_BASE_URL, "AMS_API_KEY": settings.AMS_API_KEY}
    with subprocess.Popen(
        [sys.executable, str(_PROGRAM), str(connection.settings_dict["NAME"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **ams, "PYTHONPATH": str(_CHECKOUT)},
    ) as process:
        yield Mortal(process)
        cast("IO[str]", process.stdin).close()


def ways_to_die() -> Iterator[int]:
    yield from range(1, _MOST_EFFECTS)


def assert_together(in_letta: InLetta) -> None:
    """Assert that rows, owners and Letta know of the same agents, and of nothing else."""
    call_command("reconcile_agents", grace=0.0, verbosity=0)
    agents = Agent.objects.all()
    assert {agent.status for agent in agents} <= {Status.ACTIVE}
    ids = sorted(agent.agent_id for agent in agents)
    owned = OwnedResource.objects.all()
    assert in_letta.ids() == ids
    assert sorted(owned.filter(kind=Kind.AGENT).values_list("upstream_id", flat=True)) == ids
    assert set(owned.exclude(agent_id="").values_list("agent_id", flat=True)) <= set(ids) | set(
        in_letta.ids("archives")
    )
    for table, kind in (("blocks", Kind.BLOCK), ("archives", Kind.ARCHIVE)):
        held = {one["id"] for one in in_letta("GET", f"/{table}/?limit=100")}
        used = set()
        for agent_id in ids:
            if table == "blocks":
                used |= {one["id"] for one in in_letta("GET", f"/agents/{agent_id}")["blocks"]}
            else:
                listed = in_letta("GET", f"/archives/?agent_id={agent_id}")
                used |= {one["id"] for one in listed}
        assert held == used
        assert set(owned.filter(kind=kind).values_list("upstream_id", flat=True)) <= held


def test_while_an_agent_is_made(
    alice: Caller, template: str, mortal: Mortal, in_letta: InLetta
) -> None:
    alice.letta("GET", "/agents/").raise_for_status()
    user = alice.get("/me")["id"]
    counts = []
    for effects in ways_to_die():
        result = mortal.do("create", user=user, template=template, die_after=effects)
        assert_together(in_letta)
        counts.append(Agent.objects.count())
        Agent.objects.update(name="")
        for agent in rows():
            assert alice("DELETE", f"/agents/{agent.agent_id}").status_code == 204
        if result == "done":
            break

    assert result == "done"
    assert len(counts) > 8
    assert counts == sorted(counts)
    assert set(counts) == {0, 1}


def test_while_an_agent_is_cloned(
    alice: Caller, agent: dict[str, Any], mortal: Mortal, in_letta: InLetta
) -> None:
    path = f"/agents/{agent['id']}"
    for text in ("sky", "grass"):
        alice.letta("POST", f"{path}/archival-memory", json={"text": text}).raise_for_status()
    alice.letta("POST", f"{path}/messages", json={"input": "hi"}).raise_for_status()
    user = agent["user_id"]
    counts = []
    for effects in ways_to_die():
        result = mortal.do("clone", user=user, agent=agent["id"], die_after=effects)
        assert_together(in_letta)
        counts.append(Agent.objects.count())
        for clone in Agent.objects.exclude(agent_id=agent["id"]):
            assert alice("DELETE", f"/agents/{clone.agent_id}").status_code == 204
        if result == "done":
            break

    assert result == "done"
    assert len(counts) > 15
    assert counts == sorted(counts)
    assert set(counts) == {1, 2}


def test_while_an_agent_is_upgraded(
    alice: Caller, template: str, mortal: Mortal, in_letta: InLetta
) -> None:
    """It is of the one version or the other, in its row and in Letta, and knows what it knew."""
    persona = {**agent_file()["persona"], "system_prompt": "You serve {{user_name}}."}
    alice.publish(version="1.1.0", persona=persona)
    agent: dict[str, Any] = {}
    versions = []
    for effects in ways_to_die():
        if not agent:
            agent = alice.create(template, version="1.0.0")
            where = f"/agents/{agent['id']}/core-memory/blocks/human"
            in_letta("PATCH", where, json={"value": "Likes tea."})
        result = mortal.do("upgrade", user=agent["user_id"], agent=agent["id"], die_after=effects)
        assert_together(in_letta)
        document, (row,) = in_letta("GET", f"/agents/{agent['id']}"), rows()
        is_new = row.version == "1.1.0"
        assert document["system"] == ("You serve Ann." if is_new else "You help Ann.")
        assert "Likes tea." in {block["value"] for block in document["blocks"]}
        versions.append(row.version)
        if is_new:
            assert alice("DELETE", f"/agents/{agent['id']}").status_code == 204
            agent = {}
        if result == "done":
            break

    assert result == "done"
    assert len(versions) > 12
    assert versions == sorted(versions)
    assert set(versions) == {"1.0.0", "1.1.0"}


def test_while_an_agent_is_deleted(
    alice: Caller, template: str, mortal: Mortal, in_letta: InLetta
) -> None:
    counts = []
    agent = alice.create(template)
    for effects in ways_to_die():
        path = f"/agents/{agent['id']}/archival-memory"
        alice.letta("POST", path, json={"text": "sky"}).raise_for_status()
        result = mortal.do("delete", user=agent["user_id"], agent=agent["id"], die_after=effects)
        assert_together(in_letta)
        counts.append(Agent.objects.count())
        if not counts[-1]:
            agent = alice.create(template)
        if result == "done":
            break

    assert result == "done"
    assert len(counts) > 12
    assert counts == sorted(counts, reverse=True)
    assert set(counts) == {0, 1}
