"""``manage.py`` on a machine where nothing is set up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.timing import wait_until

_CHECKOUT = Path(__file__).resolve().parents[3]
_ASK = (
    "from django.conf import settings; from django.db import connection; "
    "cursor = connection.cursor(); cursor.execute('SHOW data_directory'); "
    "print(cursor.fetchone()[0], settings.SUPABASE_URL)"
)


def _manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=_CHECKOUT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_uses_an_engine_for_the_time_of_the_command(tmp_path: Path) -> None:
    result = _manage("shell", "-v", "0", "-c", _ASK, SANDBOX_DIR=str(tmp_path))
    assert result.returncode == 0, result.stderr
    directory, supabase = result.stdout.split()
    assert directory == str(tmp_path / "postgres")
    assert supabase.startswith("http://127.0.0.1:")
    wait_until(lambda: not (tmp_path / "postgres" / "postmaster.pid").exists())


def test_says_which_python_to_take_when_another_one_runs_it() -> None:
    result = subprocess.run(
        [sys.executable, "-S", "manage.py", "help"],
        cwd=_CHECKOUT,
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert ".venv/bin/python" in result.stderr
    assert "Traceback" not in result.stderr


def test_starts_no_engine_for_a_command_without_database(tmp_path: Path) -> None:
    result = _manage("check", SANDBOX_DIR=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize("variable", ["DATABASE_URL", "DATABASE_URL_FILE"])
def test_keeps_to_the_database_that_is_named(tmp_path: Path, variable: str) -> None:
    url = "postgresql://nobody:wrong@127.0.0.1:1/nothing"
    (tmp_path / "url").write_text(url)
    value = url if variable == "DATABASE_URL" else str(tmp_path / "url")
    environment = {variable: value, "DATABASE_POOL_TIMEOUT": "1"}
    result = _manage("migrate", "--check", SANDBOX_DIR=str(tmp_path / "data"), **environment)
    assert result.returncode != 0
    assert not (tmp_path / "data" / "postgres").exists()


def test_says_what_to_do_about_a_database_without_tables(tmp_path: Path) -> None:
    result = _manage("reconcile_agents", SANDBOX_DIR=str(tmp_path))

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.endswith("Run: manage.py migrate\n")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["migrate", "sync_users", "export_audit --output x"])
def test_says_that_the_database_is_away(tmp_path: Path, command: str) -> None:
    url = "postgresql://nobody:secret-word@127.0.0.1:1/nothing"
    environment = {"DATABASE_URL": url, "DATABASE_POOL_TIMEOUT": "1"}
    result = _manage(*command.split(), SANDBOX_DIR=str(tmp_path / "data"), **environment)

    assert result.returncode == 1
    assert "The database of DATABASE_URL: " in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret-word" not in result.stderr


def test_touches_nothing_in_production(tmp_path: Path) -> None:
    result = _manage("check", SANDBOX_DIR=str(tmp_path / "data"), ENVIRONMENT="production")
    assert result.stderr.startswith("Set DJANGO_SECRET_KEY")
    assert not (tmp_path / "data").exists()
