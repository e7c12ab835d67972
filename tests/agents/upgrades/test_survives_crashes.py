"""Wherever a process dies over an upgrade, ``reconcile_agents`` brings it to an end."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from agents.models import Agent, Status
from agents.upgrades import services
from agents.upgrades.models import UNFINISHED, Migration, MigrationState
from agents.upgrades.proposing import Wish
from gateway_core.errors import GatewayError
from gateway_core.rest import RestClient
from tests.agents.conftest import Caller
from tests.agents.upgrades.conftest import Memory, in_a_process
from tests.conftest import Running


class Killed(BaseException):
    """Nothing handles it, as nothing handles SIGKILL."""


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return what has the next calls to Letta end with the process after so many of them."""
    left: list[int] = []
    call = RestClient.call

    def counted(self: RestClient, *arguments: Any, **named: Any) -> Any:
        answer = call(self, *arguments, **named)
        if left:
            left[0] -= 1
            if left[0] <= 0:
                raise Killed
        return answer

    monkeypatch.setattr(RestClient, "call", counted)

    def after(calls: int) -> None:
        left[:] = [calls] if calls else []

    yield after
    after(0)


def reconcile() -> None:
    in_a_process(call_command, "reconcile_agents", grace=0.0, verbosity=0, stdout=StringIO())


def test_an_upgrade_is_finished_wherever_its_process_has_died(
    alice: Caller, published: dict[str, Any], memory: Memory, dying: Any
) -> None:
    memory.learn("human", "Name: Ann. Likes tea.")
    agent = Agent.objects.get()
    versions = []
    for calls in range(1, 100):
        dying(calls)
        try:
            in_a_process(services.upgrade_agent, agent=agent, by=agent.user, wish=Wish())
            died = False
        except Killed:
            died = True
        dying(0)
        reconcile()
        agent.refresh_from_db()
        assert agent.status == Status.ACTIVE
        assert not Migration.objects.filter(state__in=UNFINISHED).exists()
        assert memory.blocks()["human"] == "Name: Ann. Likes tea."
        is_new = agent.version == "1.1.0"
        assert memory.document()["system"] == ("You serve Ann." if is_new else "You help Ann.")
        assert set(memory.blocks()) == {"human", "goals" if is_new else "rules"}
        versions.append(agent.version)
        if is_new:
            applied = Migration.objects.filter(direction="upgrade", state="applied")[0]
            in_a_process(services.roll_back, migration=applied, by=None)
            agent.refresh_from_db()
        if not died:
            break

    assert not died
    assert len(versions) > 10
    assert versions == sorted(versions)
    assert set(versions) == {"1.0.0", "1.1.0"}
    del alice, published


def test_an_upgrade_that_could_not_be_undone_is_undone_later(
    alice: Caller, published: dict[str, Any], memory: Memory, letta: Running
) -> None:
    letta.fault(f"^/v1/agents/{published['id']}", method="PATCH", status=500)
    agent = Agent.objects.get()
    with pytest.raises(GatewayError):
        in_a_process(services.upgrade_agent, agent=agent, by=agent.user, wish=Wish())
    assert Migration.objects.get().state in {MigrationState.UNDOING, MigrationState.FAILED}
    letta.mend()

    reconcile()

    assert Migration.objects.get().state == MigrationState.FAILED
    assert alice.get(f"/agents/{published['id']}")["status"] == "active"
    assert memory.blocks() == {"human": "Name: Ann", "rules": "Be kind."}


def test_leaves_an_upgrade_alone_that_is_under_way(published: dict[str, Any]) -> None:
    agent = Agent.objects.get()
    migration = Migration.begun(agent, "upgrade")  # type: ignore[arg-type]
    migration.save()
    Agent.objects.update(status=Status.UPGRADING)

    call_command("reconcile_agents", verbosity=0, stdout=StringIO())

    assert Migration.objects.get().state == MigrationState.PLANNING
    reconcile()
    assert not Migration.objects.exists()
    assert Agent.objects.get().status == Status.ACTIVE
    del published
