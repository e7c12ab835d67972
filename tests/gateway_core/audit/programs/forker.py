"""Keeps an event in a parent and one in its forked child, which ships its own and then stays.

Usage: forker
"""

from __future__ import annotations

import os
import sys
import time

import django

django.setup()

from django.conf import settings  # noqa: E402 - Django first

from gateway_core.audit import trail  # noqa: E402 - as above
from gateway_core.context import RequestRecord  # noqa: E402 - as above


def keep(name: str) -> None:
    now = time.monotonic()
    trail.keep(RequestRecord(name, "", "GET", "/", "", started=now, route="llm", status=200))


def main() -> None:
    keep("parent")
    if os.fork() == 0:
        settings.AUDIT_SHIP_SECONDS = 60
        keep("child")
        os.write(1, b"shipped\n" if trail.flush(20) else b"failed\n")
    # Until the test ends.
    sys.stdin.read()


main()
