"""The decision itself, made in Valkey for any number of requests at once."""

from __future__ import annotations

from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis.exceptions import NoScriptError

from gateway_core.rates.quota import Decision, Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import redis
    import redis.asyncio

    from gateway_core.rates.quota import Quota

# How long a place is held for a process that says nothing any more.
LEASE_MS: Final = 30_000


class Script(NamedTuple):
    """A Lua script and the name that Valkey knows it by."""

    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> Script:
        """Return a script."""
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


# First the leases that have ended: for each the key of its sorted set; the first argument says how
# many, then they follow. Then for each request two keys, its bucket (a hash: tokens, time in ms)
# and the leases of what is under way (a sorted set: lease by the ms at which it is given up), and
# two arguments: tokens a second, burst, how many at once and the ms that a lease is good for, with
# blanks between them; and the lease. Without one, nothing is taken.
#
# The time is Valkey's, so that no process' clock matters; when it steps back, no time has passed.
TAKE: Final = Script.of("""
local ended = tonumber(ARGV[1])
for i = 1, ended do
  redis.call('ZREM', KEYS[i], ARGV[1 + i])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local decisions = {}
for i = 1, (#KEYS - ended) / 2 do
  local bucket, leases = KEYS[ended + 2 * i - 1], KEYS[ended + 2 * i]
  local given, lease = ARGV[ended + 2 * i], ARGV[ended + 2 * i + 1]
  local rate, burst, most, good = string.match(given, '(%S+) (%S+) (%S+) (%S+)')
  rate, burst, most = tonumber(rate), tonumber(burst), tonumber(most)
  local saved = redis.call('HMGET', bucket, 'tokens', 'at')
  local tokens = tonumber(saved[1]) or burst
  local passed = math.max(0, now - (tonumber(saved[2]) or now))
  tokens = math.min(burst, tokens + passed * rate / 1000)
  local refusal, under_way = 0, 0
  if most > 0 then
    redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
    under_way = redis.call('ZCARD', leases)
  end
  if lease ~= '' then
    if tokens < 1 then
      refusal = 1
    elseif most > 0 and under_way >= most then
      refusal = 2
    else
      tokens = tokens - 1
      if most > 0 then
        redis.call('ZADD', leases, now + good, lease)
        redis.call('PEXPIRE', leases, good)
        under_way = under_way + 1
      end
    end
    redis.call('HSET', bucket, 'tokens', tostring(tokens), 'at', now)
    redis.call('PEXPIRE', bucket, math.ceil((burst - tokens) * 1000 / rate) + 1000)
  end
  local wait = refusal == 2 and 1000 or 0
  if tokens < 1 then wait = math.ceil((1 - tokens) * 1000 / rate) end
  local full = math.ceil((burst - tokens) * 1000 / rate)
  decisions[i] = string.format(
    '%d %d %d %d %d', refusal, math.floor(tokens), wait, full, under_way)
end
return table.concat(decisions, ' ')
""")

# Keys: the processes (a sorted set: name by the ms at which it was last heard of), then for each
# lease its sorted set. Arguments: the process's name, the ms after which one counts as gone, the ms
# that a lease is good for, the leases. What Valkey has lost meanwhile is there again after this.
BEAT: Final = Script.of("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
local good = tonumber(ARGV[3])
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], now + good, ARGV[2 + i])
  redis.call('PEXPIRE', KEYS[i], good)
end
return redis.call('ZCARD', KEYS[1])
""")
_ANSWERS: Final = 5


class Ask(NamedTuple):
    """A request to be decided on.

    Attributes:
        lease: its place among those under way; empty: only look, and take nothing.
    """

    key: str
    quota: Quota
    lease: str


def terms(asks: Sequence[Ask], ended: Sequence[tuple[str, str]]) -> tuple[list[str], list[Any]]:
    """Return keys and arguments of TAKE.

    Args:
        ended: keys and leases of what is no longer under way.
    """
    keys = [leases_of(key) for key, _ in ended]
    arguments: list[Any] = [len(ended), *(lease for _, lease in ended)]
    for key, quota, lease in asks:
        keys += (key, leases_of(key))
        given = f"{quota.per_second} {quota.burst} {quota.at_once} {LEASE_MS}"
        arguments += (given, lease)
    return keys, arguments


def leases_of(key: str) -> str:
    """Return the key of the leases of a bucket."""
    return f"{key}:leases"


def decisions(asks: Sequence[Ask], answer: bytes) -> list[Decision]:
    """Return the decisions that TAKE has answered with."""
    numbers = [int(number) for number in answer.split()]
    return [
        _decision(ask.quota, numbers[_ANSWERS * place : _ANSWERS * (place + 1)])
        for place, ask in enumerate(asks)
    ]


async def run(
    client: redis.asyncio.Redis, script: Script, keys: list[str], arguments: list[Any]
) -> Any:
    """Run a script; raises what ``valkey.AWAY`` names."""
    call: Callable[..., Awaitable[Any]] = client.evalsha
    try:
        return await call(script.sha, len(keys), *keys, *arguments)
    except NoScriptError:
        call = client.eval
        return await call(script.text, len(keys), *keys, *arguments)


def run_sync(client: redis.Redis, script: Script, keys: list[str], arguments: list[Any]) -> Any:
    """Do the same without an event loop."""
    call: Callable[..., Any] = client.evalsha
    try:
        return call(script.sha, len(keys), *keys, *arguments)
    except NoScriptError:
        call = client.eval
        return call(script.text, len(keys), *keys, *arguments)


def _decision(quota: Quota, numbers: list[int]) -> Decision:
    refusal, remaining, wait, full, under_way = numbers
    return Decision(
        quota=quota,
        refusal=Refusal(refusal),
        remaining=remaining,
        retry_after=wait / 1000,
        full_after=full / 1000,
        under_way=under_way,
    )
