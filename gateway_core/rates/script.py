"""The decision itself, made in Valkey for any number of requests at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway_core.rates.quota import Decision, Refusal

if TYPE_CHECKING:
    from gateway_core.rates.quota import Quota

# For each request two keys: its bucket (a hash: tokens, time in ms) and the leases of what is under
# way (a sorted set: lease by the ms at which it is given up). For each five arguments: tokens a
# second, burst, how many at once, the lease, ms that it is good for. The time is Valkey's, so that
# no process' clock matters; when it steps back, no time has passed.
TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local decisions = {}
for i = 1, #KEYS / 2 do
  local bucket, leases = KEYS[2 * i - 1], KEYS[2 * i]
  local given = (i - 1) * 5
  local rate, burst = tonumber(ARGV[given + 1]), tonumber(ARGV[given + 2])
  local most, lease, good = tonumber(ARGV[given + 3]), ARGV[given + 4], tonumber(ARGV[given + 5])
  local saved = redis.call('HMGET', bucket, 'tokens', 'at')
  local tokens = tonumber(saved[1]) or burst
  local passed = math.max(0, now - (tonumber(saved[2]) or now))
  tokens = math.min(burst, tokens + passed * rate / 1000)
  local refusal, wait = 0, 0
  if tokens < 1 then
    refusal = 1
    wait = math.ceil((1 - tokens) * 1000 / rate)
  elseif most > 0 then
    redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
    if redis.call('ZCARD', leases) >= most then
      refusal, wait = 2, 1000
    else
      redis.call('ZADD', leases, now + good, lease)
      redis.call('PEXPIRE', leases, good)
    end
  end
  if refusal == 0 then tokens = tokens - 1 end
  local full = math.ceil((burst - tokens) * 1000 / rate)
  redis.call('HSET', bucket, 'tokens', tostring(tokens), 'at', now)
  redis.call('PEXPIRE', bucket, full + 1000)
  decisions[#decisions + 1] = refusal
  decisions[#decisions + 1] = math.floor(tokens)
  decisions[#decisions + 1] = wait
  decisions[#decisions + 1] = full
end
return decisions
"""
# For each lease its sorted set and, as arguments, the lease and the ms that it is good for.
RENEW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 1, #KEYS do
  local good = tonumber(ARGV[2 * i])
  redis.call('ZADD', KEYS[i], 'XX', now + good, ARGV[2 * i - 1])
  redis.call('PEXPIRE', KEYS[i], good)
end
return #KEYS
"""
_ANSWERS: Final = 4


def arguments(quota: Quota, lease: str, lease_ms: int) -> tuple[float | int | str, ...]:
    """Return the arguments for one request."""
    return quota.per_second, quota.burst, quota.at_once, lease, lease_ms


def decision(quota: Quota, answers: list[int], place: int) -> Decision:
    """Return the decision for the request at that place of the call."""
    refusal, remaining, wait, full = answers[_ANSWERS * place : _ANSWERS * (place + 1)]
    return Decision(
        quota=quota,
        refusal=Refusal(refusal),
        remaining=remaining,
        retry_after=wait / 1000,
        reset_after=full / 1000,
    )
