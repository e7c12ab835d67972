"""The gateway as its users meet it: a process of its own under uvicorn, on a port of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil

from gateway_project.sandbox.store import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PROJECT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 60
_STOP_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway.

    Attributes:
        url: without a path.
        pid: of the process that was started; it may have children.
        log: what it printed.
    """

    url: str
    pid: int
    log: Path


@contextmanager
def run_gateway(data: Path, settings: Mapping[str, str]) -> Iterator[Gateway]:
    """Run a gateway over an empty data directory and stop it as Ctrl-C does.

    Raises:
        RuntimeError: it does not become ready, or leaves something running behind.
    """
    port = free_port()
    log = data / "gateway.log"
    environment = {
        **no_settings(),
        **settings,
        "PATH": os.environ["PATH"],
        "HOME": str(data),
        "SANDBOX_DIR": str(data / "sandbox"),
        "PORT": str(port),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway_project.sandbox"],
            cwd=_PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    gateway = Gateway(url=f"http://127.0.0.1:{port}", pid=process.pid, log=log)
    try:
        _wait_until_ready(gateway, process)
        yield gateway
    finally:
        _stop(gateway, process)


def no_settings() -> dict[str, str]:
    """Return every setting as empty, which keeps a developer's ``.env`` out.

    But for one: requests are not limited, or tests would make more than anybody may.
    """
    text = (_PROJECT / "env.example").read_text(encoding="utf-8")
    names = re.findall(r"^#?\s*([A-Z][A-Z0-9_]+)=", text, flags=re.MULTILINE)
    return {**dict.fromkeys(names, ""), "ENABLE_RATE_LIMITING": "false"}


def _wait_until_ready(gateway: Gateway, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{gateway.url}/api/v1/system/ready", timeout=10).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"The gateway is not ready. It printed:\n{_tail(gateway.log)}")


def _stop(gateway: Gateway, process: subprocess.Popen[bytes]) -> None:
    family = _family(gateway.pid)
    process.send_signal(signal.SIGINT)
    _, left = psutil.wait_procs(family, timeout=_STOP_SECONDS)
    for survivor in left:
        survivor.kill()
    process.wait()
    if left:
        raise RuntimeError(f"The gateway left {left} behind. It printed:\n{_tail(gateway.log)}")


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])
