"""What is promised for the case that something behind the gateway fails: one table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tests.failures.asking import STREAMS, Kind
from tests.failures.wire import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Bound:
    """A time: so many seconds, and what settings say."""

    seconds: float = 0.0
    settings: tuple[str, ...] = ()

    def under(self, settings: Mapping[str, str]) -> float:
        """Return the seconds under these settings."""
        return self.seconds + sum(float(settings[name]) for name in self.settings)

    def text(self, defaults: Mapping[str, str]) -> str:
        """Return it for people, with what it comes to by default."""
        if not self.settings:
            return f"{self.seconds:g} s"
        names = [f"`{name}`" for name in self.settings]
        own = [f"{self.seconds:g} s"] if self.seconds else []
        return f"{' + '.join([*names, *own])} ({self.under(defaults):g} s)"


@dataclass(frozen=True, slots=True)
class Promise:
    """What an answer is.

    Attributes:
        code: of the envelope, or of the last event of a stream; empty without one.
        or_code: the other one that it may be, where two clocks run out at once.
    """

    status: int
    code: str = ""
    within: Bound = Bound(1)
    or_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that goes wrong.

    Attributes:
        promises: of the kinds of requests that notice; all others are answered as ever.
        back: how long after its end everything works again.
        data: what becomes of data, and what else there is to know.
        why_not: why there is nothing to promise.
    """

    promises: Mapping[Kind, Promise]
    back: Bound = Bound(2)
    data: str = ""
    why_not: str = ""


HEALTHY: Final[Mapping[Kind, Promise]] = {
    **{kind: Promise(200) for kind in Kind},
    Kind.AGENT: Promise(201),
    Kind.API_KEY: Promise(201),
    **dict.fromkeys(STREAMS, Promise(200, within=Bound(3))),
    Kind.SUSPENDED: Promise(403, "policy_account_suspended"),
    Kind.REVOKED: Promise(401, "caller_token_invalid"),
    Kind.SIGNED_OUT: Promise(401, "caller_token_revoked"),
}
# Streams under way whose upstream breaks off, or says nothing more.
_BROKEN_OFF: Final = Promise(200, "upstream_interrupted")
_STALLED: Final = Promise(200, "upstream_timeout", Bound(1, ("UPSTREAM_IDLE_TIMEOUT",)))
_SHUT_OUT: Final = (Kind.SUSPENDED, Kind.REVOKED, Kind.SIGNED_OUT)
_PROBE: Final = Bound(2.5)

# -- PostgreSQL: whoever this process does not know waits for it, and whatever changes something.
_ASKS_DATABASE: Final = (
    Kind.NEW_MODEL_CALL,
    Kind.AGENT,
    Kind.ME,
    Kind.NEW_ME,
    Kind.API_KEY,
    *_SHUT_OUT,
)


def _without_database(within: Bound, data: str) -> Case:
    away = Promise(503, "gateway_database_unavailable", within)
    return Case(
        promises={
            **dict.fromkeys(_ASKS_DATABASE, away),
            Kind.READY: Promise(503, within=_PROBE),
            Kind.ADMIN: Promise(503, within=within),
        },
        back=Bound(3),
        data=data,
    )


_EVENTS_WAIT: Final = "Events wait in the spool; an agent is made when it is ordered again."
_POSTGRES: Final = {
    Fault.DOWN: _without_database(Bound(1, ("DATABASE_POOL_TIMEOUT",)), _EVENTS_WAIT),
    Fault.SLOW: Case(
        promises={
            kind: Promise(HEALTHY[kind].status, HEALTHY[kind].code, Bound(0, ("DATABASE_TIMEOUT",)))
            for kind in (*_ASKS_DATABASE, Kind.ADMIN, Kind.READY)
        },
        data="Each answer may take `DATABASE_TIMEOUT`.",
    ),
    Fault.HANGING: _without_database(
        Bound(3, ("DATABASE_POOL_TIMEOUT", "DATABASE_TIMEOUT")),
        f"{_EVENTS_WAIT} Of what was being written nobody knows: a key says so.",
    ),
    Fault.RESET: _without_database(Bound(1, ("DATABASE_POOL_TIMEOUT",)), _EVENTS_WAIT),
    Fault.GARBAGE: _without_database(Bound(1, ("DATABASE_POOL_TIMEOUT",)), _EVENTS_WAIT),
}

# -- Valkey: everything goes on; nobody who is shut out gets in.
_SHARE: Final = (
    "Each process allows its share of the limits, keeps its own circuits, and forgets what it "
    "knows of users every few seconds."
)
_VALKEY_PATIENCE: Final = Bound(2)


def _without_valkey(within: Bound) -> Case:
    return Case(
        promises={
            kind: Promise(promise.status, promise.code, within)
            for kind, promise in HEALTHY.items()
            if kind not in STREAMS
        }
        if within.seconds > 1
        else {},
        data=_SHARE,
        back=Bound(6),
    )


_VALKEY: Final = {
    Fault.DOWN: _without_valkey(Bound(1)),
    Fault.SLOW: _without_valkey(_VALKEY_PATIENCE),
    Fault.HANGING: _without_valkey(_VALKEY_PATIENCE),
    Fault.RESET: _without_valkey(Bound(1)),
    Fault.GARBAGE: _without_valkey(Bound(1)),
}

# -- both: whoever was known is not for longer than some seconds.
_NEEDS_NOBODY_KNOWN: Final = (*STREAMS, Kind.READY, Kind.ADMIN)
_WITHOUT_BOTH: Final[Mapping[Fault, Case]] = {
    fault: replace(
        case,
        promises={
            **dict.fromkeys(
                (kind for kind in Kind if kind not in _NEEDS_NOBODY_KNOWN),
                case.promises[Kind.ME],
            ),
            Kind.READY: case.promises[Kind.READY],
            Kind.ADMIN: case.promises[Kind.ADMIN],
        },
        back=Bound(6),
    )
    for fault, case in _POSTGRES.items()
    if fault in {Fault.DOWN, Fault.HANGING}
}

# -- the key server: known tokens go on, and new ones for as long as the keys in hand are trusted.
_ASKS_FOR_KEYS: Final = (
    Kind.NEW_MODEL_CALL,
    Kind.NEW_ME,
    Kind.API_KEY,
    Kind.SUSPENDED,
    Kind.SIGNED_OUT,
)
_KEYS_AWAY: Final = Case(
    promises={
        **dict.fromkeys(_ASKS_FOR_KEYS, Promise(503, "gateway_keys_unavailable", Bound(2.5))),
        Kind.READY: Promise(503, within=_PROBE),
    },
    back=Bound(30),
    data=(
        "From `JWKS_HARD_TTL_SECONDS` on; before that only whose token is signed with a key that "
        "the process has not met."
    ),
)
_KEY_SERVER: Final = {
    Fault.DOWN: _KEYS_AWAY,
    Fault.SLOW: Case(promises={}),
    Fault.HANGING: _KEYS_AWAY,
    Fault.RESET: _KEYS_AWAY,
    Fault.GARBAGE: _KEYS_AWAY,
}

# -- Supabase's API: asked before what can't be undone.
_SESSION_UNSURE: Final = Case(
    promises={
        Kind.API_KEY: Promise(503, "upstream_unreachable", Bound(1, ("SUPABASE_TIMEOUT",))),
    },
    back=Bound(3),
    data="No key is made. Whether a session lives nobody can say, so it may not do it.",
)
_SUPABASE: Final = {
    Fault.DOWN: _SESSION_UNSURE,
    Fault.SLOW: Case(promises={}),
    Fault.HANGING: _SESSION_UNSURE,
    Fault.RESET: _SESSION_UNSURE,
    Fault.GARBAGE: _SESSION_UNSURE,
    Fault.OPEN: Case(
        promises={},
        why_not="After a failure it is not asked for 2 s; so its circuit seldom opens.",
    ),
}

# -- Letta
_ASKS_LETTA: Final = (Kind.LETTA_READ, Kind.LETTA_TURN, Kind.AGENT)
_NO_HALF_AGENT: Final = "No half agent stays: what Letta had begun is taken back, or reconciled."
_LETTA: Final = {
    Fault.DOWN: Case(
        promises={
            **dict.fromkeys(_ASKS_LETTA, Promise(503, "upstream_unreachable")),
            Kind.LETTA_STREAM: _BROKEN_OFF,
        },
        data="Nothing was sent; an order with its key may be repeated.",
    ),
    Fault.SLOW: Case(promises={Kind.AGENT: Promise(201, within=Bound(3))}),
    Fault.HANGING: Case(
        promises={
            Kind.LETTA_READ: Promise(504, "upstream_timeout", Bound(1, ("LETTA_QUICK_TIMEOUT",))),
            Kind.LETTA_TURN: Promise(
                504, "upstream_timeout", Bound(1, ("UPSTREAM_FIRST_BYTE_TIMEOUT",))
            ),
            Kind.AGENT: Promise(
                504, "upstream_timeout", Bound(1, ("LETTA_QUICK_TIMEOUT", "LETTA_QUICK_TIMEOUT"))
            ),
            Kind.LETTA_STREAM: _STALLED,
            Kind.READY: Promise(200, within=_PROBE),
        },
        data=_NO_HALF_AGENT,
    ),
    Fault.RESET: Case(
        promises={
            **dict.fromkeys(_ASKS_LETTA, Promise(502, "upstream_interrupted")),
            Kind.LETTA_STREAM: _BROKEN_OFF,
        },
        data=_NO_HALF_AGENT,
    ),
    Fault.GARBAGE: Case(
        promises={
            **dict.fromkeys(_ASKS_LETTA, Promise(502, "upstream_answer_invalid")),
            Kind.LETTA_STREAM: _STALLED,
        },
        data=_NO_HALF_AGENT,
    ),
    Fault.OPEN: Case(
        promises={
            **dict.fromkeys(_ASKS_LETTA, Promise(503, "upstream_circuit_open")),
            Kind.LETTA_STREAM: _BROKEN_OFF,
        },
        back=Bound(3, ("CIRCUIT_BREAKER_RECOVERY_TIMEOUT",)),
        data="Nothing is sent.",
    ),
}

# -- LiteLLM
_MODEL_CALLS: Final = (Kind.MODEL_CALL, Kind.NEW_MODEL_CALL, Kind.AGENT_CALL)
_MODEL_FAILED: Final = Promise(200, "upstream_failed")
# Letta's stream waits as long as that of the model which it waits for, from its last ping on.
_MODEL_STALLED: Final = replace(_STALLED, code="upstream_failed", or_code="upstream_timeout")
_COST_LATER: Final = "What it cost is looked up in LiteLLM's log."
_LITELLM: Final = {
    Fault.DOWN: Case(
        promises={
            **dict.fromkeys((*_MODEL_CALLS, Kind.LETTA_TURN), Promise(503, "upstream_unreachable")),
            Kind.STREAM: _BROKEN_OFF,
            Kind.LETTA_STREAM: _MODEL_FAILED,
        },
        data=f"The stream ends with an error event. {_COST_LATER}",
    ),
    Fault.SLOW: Case(
        promises={
            Kind.NEW_MODEL_CALL: Promise(200, within=Bound(3)),
            Kind.STREAM: Promise(200, within=Bound(4)),
        },
    ),
    Fault.HANGING: Case(
        promises={
            **dict.fromkeys(
                (Kind.MODEL_CALL, Kind.AGENT_CALL, Kind.LETTA_TURN),
                Promise(504, "upstream_timeout", Bound(1, ("UPSTREAM_FIRST_BYTE_TIMEOUT",))),
            ),
            Kind.NEW_MODEL_CALL: Promise(
                504, "upstream_timeout", Bound(1, ("LITELLM_QUICK_TIMEOUT",))
            ),
            Kind.STREAM: _STALLED,
            Kind.LETTA_STREAM: _MODEL_STALLED,
            Kind.NEW_ME: Promise(200, within=Bound(4)),
            Kind.READY: Promise(200, within=_PROBE),
        },
        data=_COST_LATER,
    ),
    Fault.RESET: Case(
        promises={
            **dict.fromkeys(_MODEL_CALLS, Promise(502, "upstream_interrupted")),
            Kind.LETTA_TURN: Promise(502, "upstream_failed"),
            Kind.STREAM: _BROKEN_OFF,
            Kind.LETTA_STREAM: _MODEL_FAILED,
        },
        data=_COST_LATER,
    ),
    Fault.GARBAGE: Case(
        promises={
            **dict.fromkeys(_MODEL_CALLS, Promise(502, "upstream_answer_invalid")),
            Kind.LETTA_TURN: Promise(502, "upstream_failed"),
            Kind.STREAM: _STALLED,
            Kind.LETTA_STREAM: _MODEL_STALLED,
        },
        data=_COST_LATER,
    ),
    Fault.OPEN: Case(
        promises={
            **dict.fromkeys(
                (*_MODEL_CALLS, Kind.LETTA_TURN), Promise(503, "upstream_circuit_open")
            ),
            Kind.STREAM: _BROKEN_OFF,
            Kind.LETTA_STREAM: _MODEL_FAILED,
        },
        back=Bound(3, ("CIRCUIT_BREAKER_RECOVERY_TIMEOUT",)),
        data="Nothing is sent.",
    ),
}

# -- a remote AMS
_AMS: Final = {
    Fault.DOWN: Case(promises={Kind.AGENT: Promise(503, "upstream_unreachable")}),
    Fault.SLOW: Case(promises={Kind.AGENT: Promise(201, within=Bound(3))}),
    Fault.HANGING: Case(
        promises={Kind.AGENT: Promise(504, "upstream_timeout", Bound(1, ("AMS_TIMEOUT",)))},
        data=_NO_HALF_AGENT,
    ),
    Fault.RESET: Case(
        promises={Kind.AGENT: Promise(502, "upstream_interrupted")}, data=_NO_HALF_AGENT
    ),
    Fault.GARBAGE: Case(
        promises={Kind.AGENT: Promise(502, "upstream_answer_invalid")}, data=_NO_HALF_AGENT
    ),
    Fault.OPEN: Case(
        promises={Kind.AGENT: Promise(503, "upstream_circuit_open")},
        back=Bound(3, ("CIRCUIT_BREAKER_RECOVERY_TIMEOUT",)),
        data="Nothing is sent.",
    ),
}

_NO_CIRCUIT: Final = Case(promises={}, why_not="It has no circuit breaker.")
PROMISES: Final[Mapping[str, Mapping[Fault, Case]]] = {
    "postgres": {**_POSTGRES, Fault.OPEN: _NO_CIRCUIT},
    "valkey": {**_VALKEY, Fault.OPEN: _NO_CIRCUIT},
    "postgres and valkey": _WITHOUT_BOTH,
    "key server": {**_KEY_SERVER, Fault.OPEN: _NO_CIRCUIT},
    "supabase": _SUPABASE,
    "letta": _LETTA,
    "litellm": _LITELLM,
    "ams": _AMS,
}


def promised(service: str, fault: Fault, kind: Kind) -> Promise:
    """Return what is promised for a kind of request."""
    return PROMISES[service][fault].promises.get(kind, HEALTHY[kind])
