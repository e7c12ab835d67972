"""A process that asks for as many requests as are allowed, and prints when each was."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import django

django.setup()

from gateway_core import valkey  # noqa: E402 - needs the settings
from gateway_core.rates import Quota, RateLimiter, Refusal  # noqa: E402
from gateway_core.rates.script import Ask  # noqa: E402


async def main(key: str, per_hour: int, burst: int, callers: int, seconds: float) -> None:
    limiter = RateLimiter()
    quota = Quota(name="test", per_hour=per_hour, burst=burst)
    admitted: list[float] = []
    await valkey.client().ping()
    print("ready", flush=True)  # noqa: T201 - to the test
    sys.stdin.readline()
    end = time.monotonic() + seconds

    async def call() -> None:
        while time.monotonic() < end:
            decision = await limiter.take(Ask(key, quota, "-"))
            if decision.refusal is Refusal.NONE:
                admitted.append(time.time())
            else:
                await asyncio.sleep(min(decision.retry_after, 0.05))

    await asyncio.gather(*(call() for _ in range(callers)))
    print(json.dumps(admitted), flush=True)  # noqa: T201 - to the test
    await valkey.close()


if __name__ == "__main__":
    key, *numbers = sys.argv[1:]
    per_hour, burst, callers = map(int, numbers[:3])
    asyncio.run(main(key, per_hour, burst, callers, float(numbers[3])))
