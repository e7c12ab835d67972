"""``make run``: engines, stand-ins and the gateway, until it is told to stop."""

from __future__ import annotations

import http.client
import logging
import os
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from gateway_project.sandbox.console import step
from gateway_project.sandbox.engines import Engines, is_set
from gateway_project.sandbox.environment import RunRecord, fill_in, own_settings
from gateway_project.sandbox.processes import StartFailed, launch, stop
from gateway_project.sandbox.serving import LoopbackServer
from gateway_project.sandbox.stand_ins import STAND_INS
from gateway_project.sandbox.store import Store, is_port_free

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

READY_PATH: Final = "/api/v1/system/ready"
_READY_SECONDS: Final = 90
_STAFF_USERNAME: Final = "admin"
_POLL_SECONDS: Final = 0.05
_AGAIN_SECONDS: Final = 1.0
_WATCH_SECONDS: Final = 0.25


class Sandbox:
    """Everything that a run starts, in order, and stops in the opposite one.

    Args:
        data: the data directory.
        port: the gateway's port on 127.0.0.1.

    Attributes:
        url: address of the gateway.
        stand_ins: addresses of the stand-ins that run, by name.
        staff: username and password for the admin, when the database is the sandbox's own.
    """

    def __init__(self, data: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.stand_ins: dict[str, str] = {}
        self.staff: tuple[str, str] | None = None
        self._data = data
        self._port = port
        self._store = Store(data)
        self._before = dict(os.environ)
        self._engines = Engines(data)
        self._gateway: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()
        self._parent = os.getppid()

    def start_ground(self, *, for_gateway: bool) -> None:
        """Start what the gateway stands on.

        Raises:
            StartFailed: something did not start; what did is stopped by ``stop``.
        """
        record = RunRecord(self._data)
        if not record.claim():
            raise StartFailed(f"The sandbox already runs on {self._data}. Stop it first.")
        self._stack.callback(record.withdraw)
        if for_gateway and not is_port_free(self._port):
            hint = f"make run PORT={self._port + 1}"
            raise StartFailed(f"Port {self._port} is in use. Choose another one: {hint}")
        fill_in(own_settings(self._data, self._store) | {"GATEWAY_INTERNAL_URL": self.url})
        self._stack.callback(self._engines.stop)
        if not is_set("DATABASE_URL"):
            self.staff = _STAFF_USERNAME, self._store.secret("staff_password")
        self._engines.start(step)
        self._start_stand_ins()
        record.publish(self.environment(), self.stand_ins)

    def start_gateway(self) -> None:
        """Start the gateway and return when it is ready.

        Raises:
            StartFailed: it has ended, or takes too long.
        """
        names = ("DJANGO_SUPERUSER_USERNAME", "DJANGO_SUPERUSER_PASSWORD")
        staff = dict(zip(names, self.staff or (), strict=False))
        self._gateway = launch(
            [sys.executable, "-m", "gateway_project.sandbox.gateway", str(self._port)],
            env={**os.environ, **staff},
        )
        self._stack.callback(stop, self._gateway)
        self._wait_until_ready()

    def environment(self) -> dict[str, str]:
        """Return the variables that the run has added to its environment."""
        return {name: os.environ[name] for name in os.environ if not self._before.get(name)}

    def watch(self) -> None:
        """Return when whoever started this under make is gone; otherwise only by an exception.

        Raises:
            StartFailed: an engine or the gateway has ended.
        """
        while not self._is_orphan():
            if engine := self._engines.ended():
                raise StartFailed(f"{engine.name} has ended. Its last words:{engine.last_lines()}")
            if self._gateway and self._gateway.poll() is not None:
                raise StartFailed(f"The gateway has ended with status {self._gateway.returncode}.")
            time.sleep(_WATCH_SECONDS)

    def stop(self) -> None:
        """Stop everything that was started."""
        self._stack.close()

    def _start_stand_ins(self) -> None:
        missing = [one for one in STAND_INS if one.is_wanted]
        if not missing:
            return
        # Their servers run in threads of this process; what they have to say goes to a file.
        logging.basicConfig(filename=self._data / "logs" / "stand-ins.log", filemode="w")
        with step(f"starting stand-ins for {', '.join(one.title for one in missing)}"):
            for one in missing:
                server = LoopbackServer(self._store.port(one.name))
                self._stack.callback(server.stop)
                settings = one.environment(server.url, self._store)
                server.start(one.build(server.url, settings, self._data / f"{one.name}.json"))
                os.environ |= settings
                self.stand_ins[one.name] = server.url

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        answer = "no answer"
        while time.monotonic() < deadline:
            if self._gateway and self._gateway.poll() is not None:
                raise StartFailed(f"The gateway did not start (status {self._gateway.returncode}).")
            status, said = self._ask()
            if status == http.client.OK:
                return
            if status != http.client.TOO_MANY_REQUESTS:
                answer = said
            # Whoever answers may be asked less often; readiness is limited by address.
            time.sleep(_AGAIN_SECONDS if status else _POLL_SECONDS)
        raise StartFailed(f"The gateway is not ready after {_READY_SECONDS} s: {answer}")

    def _ask(self) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", READY_PATH)
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        except OSError as exc:
            return 0, str(exc)
        finally:
            connection.close()

    def _is_orphan(self) -> bool:
        return "MAKELEVEL" in os.environ and os.getppid() != self._parent
