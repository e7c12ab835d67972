"""Runs that are heard again, and what is thought of their steps."""

from __future__ import annotations

from typing import Final

from letta_proxy.models import Kind
from letta_proxy.policy.bodies.members import ANY, DROPPED, NUMBER
from letta_proxy.policy.rules import Fields, Id, Refused

RESUME: Final = Fields(
    fields={
        "agent_id": Id(Kind.AGENT),
        "run_id": Id(Kind.RUN),
        "otid": Refused("Name the run in `run_id` instead."),
        "starting_after": NUMBER,
        "include_pings": ANY,
        # How often and how much Letta reads from its Redis for one listener.
        "poll_interval": DROPPED,
        "batch_size": DROPPED,
    }
)
FEEDBACK: Final = Fields(fields={"feedback": ANY, "tags": ANY})
