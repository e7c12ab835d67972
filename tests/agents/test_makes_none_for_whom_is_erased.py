from __future__ import annotations

import pytest

from accounts.models import User
from accounts.sessions.models import DenialReason
from accounts.sessions.services import deny_user
from agents import services
from agents.models import Agent
from gateway_core.errors import AccountSuspended, GatewayError, TokenRejected
from tests.agents.conftest import Caller


@pytest.mark.parametrize(
    ("reason", "refusal"),
    [(DenialReason.ERASED, TokenRejected), (DenialReason.BANNED, AccountSuspended)],
)
def test_makes_no_agent_for_whom_was_shut_out_while_the_request_was_under_way(
    alice: Caller, template: str, reason: DenialReason, refusal: type[GatewayError]
) -> None:
    user = User.objects.get(pk=alice.get("/me")["id"])
    deny_user(user_id=user.pk, by=None, reason=reason)

    with pytest.raises(refusal):
        services.create_agent(
            user=user,
            template_id=template,
            version="latest",
            variables={"user_name": "Ann"},
            traits=services.Traits(),
        )

    assert not Agent.objects.exists()
