"""``make run`` as its user meets it: a process that brings the gateway and all that it needs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt
import psutil
import pytest

from gateway_project.sandbox.store import free_port
from tests.timing import wait_until

pytestmark = pytest.mark.timeout(180)

_CHECKOUT = Path(__file__).resolve().parents[3]
_START_SECONDS = 90
# A script starts what runs in its background with SIGINT ignored.
_AS_A_SCRIPT = ("/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh")
_SANDBOX = (sys.executable, "-m", "gateway_project.sandbox")


def _environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _command(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_SANDBOX, "--data", str(data), *arguments],
        cwd=_CHECKOUT,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=_START_SECONDS,
    )


@dataclass
class Run:
    process: subprocess.Popen[bytes]
    log: Path
    data: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        return self.log.read_text()

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.output
        return "\nready in" in self.output

    def family(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        assert children
        return [psutil.Process(self.process.pid), *children]

    def token(self, email: str) -> str:
        result = _command("token", email, data=self.data)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def wait_for_end(self) -> int:
        return self.process.wait(30)


Start = Callable[..., Run]


def _start(data: Path, log: Path, port: int, *flags: str) -> Run:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_AS_A_SCRIPT, *_SANDBOX, "--data", str(data), "--port", str(port), *flags],
            cwd=_CHECKOUT,
            env=_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Run(process, log, data, port)


def _stop(run: Run) -> None:
    if run.process.poll() is None:
        os.killpg(run.process.pid, signal.SIGINT)
    run.wait_for_end()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    runs: list[Run] = []

    def start(*flags: str, ready: bool = True, port: int = 0) -> Run:
        log = tmp_path / f"run-{len(runs)}.log"
        runs.append(_start(tmp_path / "data", log, port or free_port(), *flags))
        if ready:
            wait_until(runs[-1].is_ready, seconds=_START_SECONDS)
        return runs[-1]

    yield start
    for run in runs:
        _stop(run)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    base = tmp_path_factory.mktemp("run")
    run = _start(base / "data", base / "run.log", free_port())
    wait_until(run.is_ready, seconds=_START_SECONDS)
    yield run
    _stop(run)


def _is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def _all_gone(processes: list[psutil.Process]) -> bool:
    return all(map(_is_gone, processes))


def test_prints_a_curl_that_gets_a_streamed_answer(run: Run) -> None:
    curl = re.search(r"^curl (?:.*\\\n)*.*$", run.output, flags=re.MULTILINE)
    assert curl
    answer = subprocess.run(
        ["bash", "-c", curl[0]], capture_output=True, text=True, check=True, timeout=20
    )
    assert answer.stdout.count("data: {") > 5
    assert answer.stdout.rstrip().endswith("data: [DONE]")
    token = re.search(r"Bearer (\S+)'", curl[0])
    assert token
    claims = jwt.decode(token[1], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] > 3600


def test_prints_addresses_that_answer(run: Run) -> None:
    for title, path in (("Docs", "/docs"), ("Admin", "/admin/"), ("Metrics", "/metrics")):
        assert re.search(rf"{title} +{run.url}{path}", run.output), title
        assert httpx.get(run.url + path, follow_redirects=True).status_code == 200, path


def test_prints_a_login_that_opens_the_admin(run: Run) -> None:
    login = re.search(r"Admin .*   (\S+) / (\S+)", run.output)
    assert login
    with httpx.Client(base_url=run.url, follow_redirects=True) as client:
        client.get("/admin/login/")
        form = {
            "username": login[1],
            "password": login[2],
            "csrfmiddlewaretoken": client.cookies["csrftoken"],
        }
        headers = {"referer": f"{run.url}/admin/login/"}
        page = client.post("/admin/login/?next=/admin/", data=form, headers=headers)
    assert page.url.path == "/admin/"
    assert "Site administration" in page.text or "logout" in page.text


def test_gives_anybody_a_token_that_the_gateway_takes(run: Run) -> None:
    token = run.token("carol@example.com")
    assert token.count(".") == 2
    headers = {"authorization": f"Bearer {token}"}
    me = httpx.get(f"{run.url}/api/v1/me", headers=headers)
    assert (me.status_code, me.json()["email"]) == (200, "carol@example.com")


def test_lends_its_environment_to_management_commands(run: Run) -> None:
    code = (
        "from django.conf import settings; from django.db import connection; "
        "connection.ensure_connection(); print(settings.LITELLM_BASE_URL)"
    )
    result = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", code],
        cwd=_CHECKOUT,
        env={**_environment(), "SANDBOX_DIR": str(run.data)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("http://127.0.0.1:")


def test_refuses_a_second_run_on_the_same_data(run: Run) -> None:
    result = _command("--port", str(free_port()), data=run.data)
    assert (result.returncode, result.stdout) == (1, "")
    assert "already runs" in result.stderr


def test_keeps_secrets_to_its_owner(run: Run) -> None:
    for name in ("sandbox.json", "running.json", "supabase.json"):
        assert (run.data / name).stat().st_mode & 0o077 == 0, name
    assert run.data.stat().st_mode & 0o077 == 0


def test_keeps_data_when_killed_and_leaves_no_process_behind(start: Start) -> None:
    first = start()
    headers = {"authorization": f"Bearer {first.token('alice@example.com')}"}
    before = httpx.get(f"{first.url}/api/v1/me", headers=headers).json()
    login = re.search(r"Admin .*   (.+)", first.output)
    family = first.family()
    first.process.kill()
    first.wait_for_end()
    wait_until(lambda: _all_gone(family), seconds=20)
    second = start(port=first.port)

    after = httpx.get(f"{second.url}/api/v1/me", headers=headers)
    assert (after.status_code, after.json()["id"]) == (200, before["id"])
    again = re.search(r"Admin .*   (.+)", second.output)
    assert login
    assert again
    assert again[1] == login[1]

    family = second.family()
    os.killpg(second.process.pid, signal.SIGINT)
    assert second.wait_for_end() == 0
    assert _all_gone(family)
    assert "Traceback" not in second.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_leaves_no_process_behind_when_stopped(start: Start, number: signal.Signals) -> None:
    run = start("--without-gateway")
    family = run.family()
    os.kill(run.process.pid, number)
    assert run.wait_for_end() == 0
    assert _all_gone(family)


def test_stops_in_the_middle_of_starting(start: Start) -> None:
    run = start(ready=False)
    wait_until(lambda: "starting PostgreSQL" in run.output, seconds=20)
    wait_until(lambda: psutil.Process(run.process.pid).children())
    family = run.family()
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.wait_for_end() == 0
    assert _all_gone(family)
    assert start("--without-gateway").is_ready()


@pytest.mark.parametrize(
    ("victim", "word", "flags"),
    [
        ("valkey-server", "Valkey has ended", ["--without-gateway"]),
        ("sandbox.gateway", "The gateway has ended", []),
    ],
)
def test_stops_with_a_clear_word_when_a_part_of_it_ends(
    start: Start, victim: str, word: str, flags: list[str]
) -> None:
    run = start(*flags)
    family = run.family()
    next(one for one in family if victim in " ".join(one.cmdline())).kill()
    assert run.wait_for_end() == 1
    assert _all_gone(family)
    assert re.search(f"^{word}", run.output, flags=re.MULTILINE)


def test_says_so_when_the_port_is_taken(run: Run, tmp_path: Path) -> None:
    result = _command("--port", str(run.port), data=tmp_path / "data")
    assert result.returncode == 1
    assert f"Port {run.port} is in use" in result.stderr


def test_replaces_each_part_that_has_an_address(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**_environment(), "REDIS_URL": "redis://elsewhere", "LETTA_BASE_URL": "http://x"}
    monkeypatch.setattr(sys.modules[__name__], "_environment", lambda: environment)
    run = start("--without-gateway")
    assert "PostgreSQL" in run.output
    assert "Valkey" not in run.output
    assert "Letta" not in run.output
    assert "export LITELLM_BASE_URL=" in run.output
    assert "export LETTA_BASE_URL=" not in run.output


def test_gives_no_token_when_it_does_not_run(tmp_path: Path) -> None:
    result = _command("token", "alice@example.com", data=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert "make run" in result.stderr
