"""Wants one key with many threads at once, and prints a line for each: "mine" or an error's code.

Says "ready" and begins when its input ends. Who gets the key does its work, unless it dies of it:
then it prints "mine", and waits to be killed.

Usage: contender DATABASE_NAME USER_ID THREADS [dies]
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import django
from django.conf import settings


def contend(user_id: UUID, threads: int, *, dies: bool) -> None:
    from django.db import connection  # noqa: PLC0415 - needs the settings below

    from gateway_core.errors import GatewayError  # noqa: PLC0415 - as above
    from gateway_core.idempotency import services  # noqa: PLC0415 - as above
    from gateway_core.idempotency.keys import KeyedRequest  # noqa: PLC0415 - as above
    from gateway_core.idempotency.outcomes import Answer  # noqa: PLC0415 - as above

    request = KeyedRequest(user_id=user_id, route="POST /things", key="k", fingerprint="f")
    together = threading.Barrier(threads)

    def attempt(_: int) -> str:
        together.wait(10)
        try:
            found = services.reserve(request, lease_seconds=60)
        except GatewayError as error:
            return error.code
        finally:
            connection.close()
        if isinstance(found, Answer):
            return "replayed"
        os.write(1, b"mine\n")
        if dies:
            signal.pause()
        return ""

    with ThreadPoolExecutor(threads) as pool:
        said = [line for line in pool.map(attempt, range(threads)) if line]
    os.write(1, "".join(f"{line}\n" for line in said).encode())


settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
os.write(1, b"ready\n")
sys.stdin.read()
contend(UUID(sys.argv[2]), int(sys.argv[3]), dies=sys.argv[4:] == ["dies"])
