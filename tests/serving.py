"""The gateway as production starts it: ``manage.py serve``, in a process of its own on loopback."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from gateway_project.sandbox.processes import last_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT: Final = Path(__file__).resolve().parents[1]
_START_SECONDS: Final = 60
_POLL_SECONDS: Final = 0.05


def serve_command(port: int, *options: str) -> list[str]:
    """Return what serves, in the directory ``CHECKOUT``."""
    return [sys.executable, "manage.py", "serve", "--port", str(port), *options]


def start_gateway(
    port: int, *options: str, settings: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start it; it answers some seconds later.

    Args:
        options: of the command.
        settings: its whole environment. Where they don't say otherwise it stops without a notice.
        log: to which its output is added.
    """
    notice = settings.get("SHUTDOWN_NOTICE_SECONDS") or "0"
    with log.open("ab") as output:
        return subprocess.Popen(
            serve_command(port, *options),
            cwd=CHECKOUT,
            env={**settings, "SHUTDOWN_NOTICE_SECONDS": notice},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def wait_until_it_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a gateway that was started.

    Raises:
        RuntimeError: it has ended, or does not answer within a minute.
    """
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/api/v1/system/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"The gateway does not answer.{last_lines(log)}")
