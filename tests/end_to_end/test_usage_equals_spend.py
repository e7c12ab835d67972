"""Whatever happens to calls, the gateway's records add up to what LiteLLM has billed."""

from __future__ import annotations

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from gateway_project.sandbox import supabase as supabase_stand_in
from tests.end_to_end.killable_gateway import killable_gateway
from tests.end_to_end.models import PRICED, say
from tests.end_to_end.upstream_views import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.end_to_end.killable_gateway import KillableGateway
    from tests.end_to_end.people import Supabase
    from tests.end_to_end.upstream_views import LiteLLMAdmin, Upstreams

_CALLS: Final = 150
_AT_ONCE: Final = 6
_KILLS: Final = 2
_EXACT: Final = Decimal("1e-9")
_CHAT: Final = "/chat/completions"
_CUT_OFF: Final = 0
# By the gateway's limits, or by its breaker: which no failing provider may open.
_REFUSED: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, or an API key of one."""

    user_id: str
    secret: str


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked, and when the caller leaves: after so many seconds, or pieces of a stream."""

    path: str
    body: dict[str, Any]
    seconds: float = 30
    pieces: int = 10_000


def random_call(chance: random.Random) -> Call:
    """Return one of all the ways a call may go."""
    chunks, pause = chance.randint(1, 40), chance.choice((0, 5, 20))
    model = f"stub/s-n{chunks}-d{pause}"
    stream: dict[str, Any] = {"model": model, "messages": say("hi"), "stream": True}
    asked = {**stream, "stream_options": {"include_usage": chance.random() < 0.5}}
    broken = {**stream, "model": chance.choice(("stub/s-n9-midfail", "stub/s-n9-miderr"))}
    ways = (
        Call(_CHAT, {"model": PRICED, "messages": say("hi")}),
        Call(_CHAT, stream),
        Call(_CHAT, asked),
        Call(_CHAT, stream, pieces=chance.randint(1, 10)),
        Call(_CHAT, asked, pieces=chance.randint(1, 10)),
        Call(_CHAT, stream, seconds=chance.uniform(0.001, 0.2)),
        Call(_CHAT, {"model": "stub/slow", "messages": say("hi")}, seconds=0.4),
        Call(_CHAT, {"model": PRICED, "messages": say("hi")}, seconds=chance.uniform(0.001, 0.1)),
        Call(_CHAT, broken),
        Call(_CHAT, {"model": chance.choice(("stub/err500", "nonesuch")), "messages": say("hi")}),
        Call("/completions", {"model": model, "prompt": "hi", "stream": chance.random() < 0.5}),
        Call("/embeddings", {"model": "emb", "input": "hi"}),
        Call("/audio/speech", {"model": "tts", "input": "hi" * 20, "voice": "alloy"}),
    )
    return chance.choice(ways)


def make(gateway: KillableGateway, caller: Caller, call: Call) -> int:
    """Make a call, and leave when its time has come; the gateway may go meanwhile.

    Returns:
        The status of the answer.
    """
    headers = {"authorization": f"Bearer {caller.secret}"}
    url = f"{gateway.url}/api/v1/llm/v1{call.path}"
    gateway.is_up.wait()
    try:
        with httpx.stream(
            "POST", url, json=call.body, headers=headers, timeout=call.seconds
        ) as answer:
            for number, _ in enumerate(answer.iter_raw()):
                if number >= call.pieces:
                    break
            return answer.status_code
    except httpx.TransportError:
        return _CUT_OFF


@pytest.fixture
def gateway(upstreams: Upstreams, supabase: Supabase, tmp_path: Path) -> Iterator[KillableGateway]:
    settings = {
        **upstreams.settings,
        "SUPABASE_URL": supabase.url,
        "SUPABASE_KEY": supabase_stand_in.PUBLISHABLE_KEY,
        "SUPABASE_SERVICE_KEY": supabase_stand_in.SECRET_KEY,
        "USAGE_COLLECT_SECONDS": "1",
    }
    with killable_gateway(tmp_path, settings) as running:
        yield running


@pytest.fixture
def callers(gateway: KillableGateway, supabase: Supabase) -> list[Caller]:
    """Three users, one of whom has an API key besides."""
    # LiteLLM takes the dearest answer that a model may give off a budget while it is made.
    gateway.execute("UPDATE accounts_plan SET budget = NULL")
    people = [supabase.sign_up(name) for name in ("alice", "bob", "carol")]
    made = httpx.post(
        f"{gateway.url}/api/v1/llm/keys",
        headers={"authorization": f"Bearer {people[0].token}"},
        json={"name": "server"},
    )
    secret = made.raise_for_status().json()["secret"]
    signed_in = [Caller(person.id, person.token) for person in people]
    return [*signed_in, Caller(people[0].id, secret)]


@pytest.mark.timeout(300)
def test_records_add_up_to_what_litellm_bills(
    gateway: KillableGateway,
    callers: list[Caller],
    litellm_admin: LiteLLMAdmin,
    record_property: Callable[[str, object], None],
) -> None:
    seed = int(os.environ.get("USAGE_SEED") or time.time())
    record_property("usage_seed", seed)
    statuses = make_many(gateway, callers, random.Random(seed))  # noqa: S311 - for tests
    assert not _REFUSED & set(statuses), f"USAGE_SEED={seed}"

    billed, logged = books_of(litellm_admin, gateway, callers)
    # What streams told is right by now, without anybody's doing.
    assert eventually(lambda: streams_to_look_up(gateway), lambda left: left == 0) == 0
    until = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 1))
    done = gateway.manage("reconcile_usage", "--until", until, "--idle", "0")

    rows = gateway.execute(
        "SELECT user_id, sum(cost) FROM llm_proxy_usagerecord WHERE kind = 'call' GROUP BY 1"
    )
    recorded = {str(user_id): cost.quantize(_EXACT) for user_id, cost in rows}
    assert recorded == billed == logged, f"USAGE_SEED={seed}"
    assert all(billed.values())
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 corrected, " in done.stdout


def make_many(gateway: KillableGateway, callers: list[Caller], chance: random.Random) -> list[int]:
    """Make calls, several at once, while the gateway is killed and started again."""
    calls = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in range(_KILLS):
            for _ in range(_CALLS // _KILLS):
                caller, call = chance.choice(callers), random_call(chance)
                calls.append(pool.submit(make, gateway, caller, call))
                time.sleep(chance.uniform(0, 0.05))
            gateway.kill()
            gateway.start()
    return [call.result() for call in calls]


def books_of(
    litellm_admin: LiteLLMAdmin, gateway: KillableGateway, callers: list[Caller]
) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Return what LiteLLM counts on users' budgets, and what its log adds up to.

    It writes both down every few seconds (``proxy_batch_write_at`` and up to five more, by chance),
    in the order in which calls end. So each user makes a last call, and when that one is in the
    log, all are.
    """
    last(gateway, callers[0], "stub/slow")  # as long as those that nobody waits for any more
    for answer_id in [last(gateway, caller, PRICED) for caller in callers]:
        litellm_admin.spend_log(answer_id)
    users = {caller.user_id for caller in callers}

    def read() -> tuple[dict[str, Decimal], dict[str, Decimal]]:
        logs = {user_id: litellm_admin.spend_logs_of(user_id) for user_id in users}
        return (
            {user_id: dollars(litellm_admin.user(user_id)["spend"]) for user_id in users},
            {user_id: sum_of(rows) for user_id, rows in logs.items()},
        )

    return eventually(read, lambda books: books[0] == books[1])


def last(gateway: KillableGateway, caller: Caller, model: str) -> str:
    """Make a call, wait for its answer, and return the id of that."""
    answer = httpx.post(
        f"{gateway.url}/api/v1/llm/v1{_CHAT}",
        headers={"authorization": f"Bearer {caller.secret}"},
        json={"model": model, "messages": say("hi")},
        timeout=30,
    )
    return str(answer.raise_for_status().json()["id"])


def streams_to_look_up(gateway: KillableGateway) -> int:
    """Return how many calls have told a cost that LiteLLM's log has not confirmed yet."""
    ((count,),) = gateway.execute(
        "SELECT count(*) FROM llm_proxy_usagerecord WHERE cost IS NOT NULL AND look_at IS NOT NULL"
    )
    return int(count)


def sum_of(rows: list[dict[str, Any]]) -> Decimal:
    return sum((dollars(row["spend"]) for row in rows), Decimal(0))


def dollars(value: float) -> Decimal:
    return Decimal(repr(value)).quantize(_EXACT)
