"""Whatever is asked, the answer is as docs/openapi.yaml says, and no error of the gateway's own.

``make torture ARGS=described`` asks more often, and something else each time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from itertools import groupby

import httpx
import pytest

from tests.conftest import RunningSupabase
from tests.gateway_project.described_api import Caller, Operation, email_of, operations
from tests.gateway_project.known_things import Maker

# Of what fits, and of what does not: half a minute.
_EXAMPLES = int(os.environ.get("DESCRIBED_EXAMPLES", "2"))
_SEED = int(os.environ.get("DESCRIBED_SEED", "0"))


def _by_tag() -> dict[str, list[Operation]]:
    def tag(operation: Operation) -> str:
        return str(operation.tags[0]) if operation.tags else ""

    return {name: list(some) for name, some in groupby(sorted(operations(), key=tag), key=tag)}


# The gateway, in this process, makes random ids while a case is made.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize("some", [pytest.param(some, id=tag) for tag, some in _by_tag().items()])
def test_answers_every_operation_as_described(  # noqa: PLR0917 - fixtures
    some: list[Operation],
    gateway: str,
    supabase: RunningSupabase,
    client_for: Callable[[str], httpx.Client],
    subtests: pytest.Subtests,
    record_property: Callable[[str, object], None],
) -> None:
    known = Maker(client_for("alice@example.com")).everything()
    statuses: Counter[int] = Counter()
    for operation in some:
        caller = Caller(gateway, supabase.token(email_of(operation)), known, seed=_SEED)
        with subtests.test(operation=operation.label):
            caller.call(operation, examples=_EXAMPLES)
        assert caller.statuses
        statuses += caller.statuses
    for status, times in statuses.items():
        record_property(f"answers with {status}", times)
