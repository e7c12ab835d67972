"""install | start | stop | status | env : the real upstreams that the end-to-end suite runs against."""

from __future__ import annotations

import contextlib
import fcntl
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import environments
import letta_server
import litellm_proxy
import postgres
import processes
from places import (
    FAST_STUB_PORT,
    GATEWAY_ENVIRONMENT,
    HERE,
    HOME,
    MODEL_STUB_PORT,
    RUN,
    STUB_ADDRESSES,
)

_NAMES = (
    "litellm",
    "letta",
    "fast_stub",
    "model_stub",
    "valkey",
    "postgres",
)  # in the order of their ending
_ADDRESSES = RUN / "addresses.sh"


def install() -> None:
    """Whatever is there and whole stays as it is. A server whose recipe changed is stopped first."""
    _step("engines", lambda: _installed(environments.install_engines()))
    _both(
        lambda: _step("LiteLLM", lambda: _installed(litellm_proxy.install())),
        lambda: _step("Letta", lambda: _installed(letta_server.install())),
    )


def start() -> None:
    install()
    postgres.create_cluster()
    for service in (
        postgres.service(),
        letta_server.valkey_service(),
        _stub("model_stub", MODEL_STUB_PORT),
        _stub("fast_stub", FAST_STUB_PORT),
    ):
        _start(service)
    _both(_start_litellm, _start_letta)
    _ADDRESSES.write_text(
        "".join(
            f"export {name}={value}\n"
            for name, value in {**GATEWAY_ENVIRONMENT, **STUB_ADDRESSES}.items()
        )
    )


def stop() -> None:
    for name in _NAMES:
        if processes.stop(name):
            print(f"{name}: stopped")
    _ADDRESSES.unlink(missing_ok=True)


def status() -> None:
    for name in reversed(_NAMES):
        print(f"{name}: {'runs' if processes.is_running(name) else 'is stopped'}")
    if not all(map(processes.is_running, _NAMES)):
        raise SystemExit(3)


def env() -> None:
    """Say where the upstreams are that run, whatever the environment says by now."""
    if not _ADDRESSES.exists():
        raise SystemExit("upstreams: not started")
    print(_ADDRESSES.read_text(), end="")


def _start_litellm() -> None:
    litellm_proxy.prepare_database()
    _start(litellm_proxy.service())


def _start_letta() -> None:
    letta_server.prepare_database()
    _start(letta_server.service())


def _stub(name: str, port: int) -> processes.Service:
    program = HERE / f"{name}.py"
    return processes.Service(
        name=name,
        port=port,
        port_variable=f"{name.upper()}_PORT",
        command=[sys.executable, program, str(port)],
        inputs=[program],
        probe=lambda: processes.answers(f"http://127.0.0.1:{port}/v1/models"),
    )


def _start(service: processes.Service) -> None:
    _step(service.name, lambda: processes.start(service))


def _step(name: str, action: Callable[[], str]) -> None:
    began = time.monotonic()
    said = action()
    print(f"{name}: {said} ({time.monotonic() - began:.1f} s)\n", end="", flush=True)


def _installed(was_built: bool) -> str:
    return "installed" if was_built else "is installed"


def _both(*actions: Callable[[], None]) -> None:
    with ThreadPoolExecutor(len(actions)) as pool:
        for future in [pool.submit(action) for action in actions]:
            future.result()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two commands at the same time would build in one folder: the second waits."""
    RUN.mkdir(parents=True, exist_ok=True, mode=0o755)
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


_COMMANDS = {"install": install, "start": start, "stop": stop, "status": status, "env": env}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in _COMMANDS:
        raise SystemExit(f"usage: upstreams.sh {'|'.join(_COMMANDS)}")
    if sys.argv[1] in {"status", "env"}:
        _COMMANDS[sys.argv[1]]()
    else:
        with _alone():
            _COMMANDS[sys.argv[1]]()
