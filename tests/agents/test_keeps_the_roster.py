"""What the data plane tells of agents; through the gateway it is in ``test_lists_agents``."""

from __future__ import annotations

import pytest

from accounts.models import User
from agents.models import Agent, Status
from agents.roster import AgentRoster
from letta_proxy.models import Kind, OwnedResource

pytestmark = pytest.mark.django_db


def test_leaves_it_to_the_data_plane_whose_an_agent_is() -> None:
    user, roster = User.objects.create(email="alice@example.com"), AgentRoster()
    entry = roster.expect_agent(user.pk, "Ada")

    roster.agent_made(user.pk, entry, {"id": "agent-1", "name": "Ada", "blocks": [{"id": "b"}]})
    assert Agent.objects.get().status == Status.ACTIVE
    assert not OwnedResource.objects.exists()

    OwnedResource.objects.create(user=user, kind=Kind.AGENT, upstream_id="agent-1")
    roster.agent_deleted(user.pk, "agent-1")
    assert not Agent.objects.exists()
    assert OwnedResource.objects.count() == 1
