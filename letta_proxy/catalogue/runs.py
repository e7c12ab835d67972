"""Runs and their steps: what an agent did with a message, and streams to be taken up again."""

from __future__ import annotations

from typing import Final

from letta_proxy.catalogue import shapes
from letta_proxy.catalogue.agents import PAGE
from letta_proxy.catalogue.operation import LettaOperation, Listed, Use, not_offered, offered
from letta_proxy.models import Kind
from letta_proxy.policy.bodies import runs

_RUN: Final = "/runs/{run_id}"
_STEP: Final = "/steps/{step_id}"
_FILTERS: Final = (
    "agent_id agent_ids conversation_id statuses background stop_reason active ascending"
)
_OF_AGENTS: Final = Listed(kind=Kind.AGENT, member="agent_id")

OPERATIONS: Final[list[LettaOperation]] = [
    offered(
        "list_runs",
        "GET /runs/",
        query=f"{PAGE} {_FILTERS}",
        listed=_OF_AGENTS,
        answer=shapes.RUNS,
    ),
    offered(
        "list_active_runs",
        "GET /runs/active",
        query="agent_id background",
        listed=_OF_AGENTS,
        answer=shapes.RUNS,
    ),
    offered("retrieve_run", f"GET {_RUN}", answer=shapes.RUN),
    offered("list_messages_for_run", f"GET {_RUN}/messages", query=PAGE),
    offered("retrieve_usage_for_run", f"GET {_RUN}/usage"),
    offered("retrieve_metrics_for_run", f"GET {_RUN}/metrics"),
    offered("list_steps_for_run", f"GET {_RUN}/steps", query=PAGE, answer=shapes.STEPS),
    offered("retrieve_trace_for_run", f"GET {_RUN}/trace", query="limit"),
    offered(
        "retrieve_stream_for_run",
        f"POST {_RUN}/stream",
        fields=runs.RESUME,
        use=Use.READ,
        streams=True,
    ),
    offered("retrieve_step", f"GET {_STEP}", answer=shapes.STEP),
    offered("list_messages_for_step", f"GET {_STEP}/messages", query=PAGE),
    offered("retrieve_metrics_for_step", f"GET {_STEP}/metrics"),
    offered("retrieve_trace_for_step", f"GET {_STEP}/trace", answer=shapes.TRACE),
    offered(
        "modify_feedback_for_step",
        f"PATCH {_STEP}/feedback",
        fields=runs.FEEDBACK,
        answer=shapes.STEP,
    ),
    *not_offered("Letta 0.16.8 answers it with 500.", f"DELETE {_RUN}"),
    *not_offered(
        "Letta 0.16.8 answers it with 400 whatever is asked. List the steps of a run instead.",
        "GET /steps/",
    ),
    *not_offered(
        "It changes what Letta bills by.", f"PATCH {_STEP}/transaction/{{transaction_id}}"
    ),
    *not_offered("Use GET /steps/{step_id}/trace.", "GET /telemetry/{step_id}"),
    *not_offered(
        "Nothing that is offered makes jobs: Letta 0.16.8 has runs in their place.",
        "GET /jobs/",
        "GET /jobs/active",
        "GET /jobs/{job_id}",
        "DELETE /jobs/{job_id}",
        "PATCH /jobs/{job_id}/cancel",
    ),
]
