"""Long-running programs on loopback: started once, found again by a pid file, ended with their children."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import psutil

from places import RUN

_BASE_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "NO_COLOR": "1"}
_STOP_WITHIN_SECONDS = 15


@dataclass(frozen=True, kw_only=True)
class Service:
    """One program. `inputs` are files whose change asks for a restart, as a change of the command does."""

    name: str
    port: int
    port_variable: str
    command: Sequence[str | Path]
    probe: Callable[[], bool]
    folder: Path = RUN
    environment: Mapping[str, str] = field(default_factory=dict)
    inputs: Sequence[Path] = ()
    user: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    ready_within_seconds: float = 120

    def fingerprint(self) -> str:
        said = [
            [str(word) for word in self.command],
            sorted(self.environment.items()),
            str(self.folder),
        ]
        digest = hashlib.sha256(json.dumps(said).encode())
        for file in self.inputs:
            digest.update(file.read_bytes())
        return digest.hexdigest()


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def start(service: Service) -> str:
    """Bring the service up and wait until it is ready. Returns what was done, in words."""
    record = _read(service.name)
    if _process(record) and record["fingerprint"] == service.fingerprint() and service.probe():
        return "runs already"
    stop(service.name)
    if not _holds(lambda: not accepts(service.port), within_seconds=2):
        raise SystemExit(
            f"{service.name}: port {service.port} is taken by a program that was not started here; end it or set {service.port_variable}"
        )
    began = time.monotonic()
    process = _spawn(service)
    while not service.probe():
        if process.poll() is not None or time.monotonic() - began > service.ready_within_seconds:
            stop(service.name)
            raise SystemExit(
                f"{service.name} did not become ready; the end of its log:\n{_log_tail(service.name)}"
            )
        time.sleep(0.1)
    return f"ready after {time.monotonic() - began:.1f} s"


def stop(name: str) -> bool:
    """End the service and everything it started. True if there was something to end."""
    record = _read(name)
    process = _process(record)
    if process:
        _signal_group(process.pid, signal.Signals(record["stop_signal"]))
        # Gone, or a zombie that nobody has reaped.
        _holds(lambda: _process(record) is None, within_seconds=_STOP_WITHIN_SECONDS)
    if record:
        _signal_group(record["pid"], signal.SIGKILL)
        _pid_file(name).unlink()
    return process is not None


def is_running(name: str) -> bool:
    return _process(_read(name)) is not None


def _holds(condition: Callable[[], bool], *, within_seconds: float) -> bool:
    deadline = time.monotonic() + within_seconds
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return held


def _spawn(service: Service) -> subprocess.Popen[bytes]:
    service.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    with (RUN / f"{service.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [str(word) for word in service.command],
            cwd=service.folder,
            env=_BASE_ENVIRONMENT | dict(service.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=service.user,
            group=service.user,
            extra_groups=None if service.user is None else [],
        )
    started = psutil.Process(process.pid).create_time()
    _pid_file(service.name).write_text(
        json.dumps(
            {
                "pid": process.pid,
                "started": started,
                "fingerprint": service.fingerprint(),
                "stop_signal": service.stop_signal.value,
            }
        )
    )
    return process


def _process(record: dict) -> psutil.Process | None:
    """The recorded process if it still is the one: a pid alone may have gone to somebody else."""
    with contextlib.suppress(psutil.NoSuchProcess, KeyError):
        process = psutil.Process(record["pid"])
        if process.create_time() == record["started"] and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _pid_file(name: str) -> Path:
    return RUN / f"{name}.pid"


def _read(name: str) -> dict:
    try:
        return json.loads(_pid_file(name).read_text())
    except (FileNotFoundError, ValueError):
        return {}


def _log_tail(name: str) -> str:
    lines = (RUN / f"{name}.log").read_text(errors="replace").splitlines()
    return "\n".join(lines[-20:])
