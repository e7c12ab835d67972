"""A real Letta 0.16.8, the last release of its server, secured and without a default user."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import postgres
from environments import PINS, build_once, create_python, installing_environment, valkey_server
from places import (
    HERE,
    HOME,
    LETTA_API_KEY,
    LETTA_PORT,
    MODEL_STUB_URL,
    RUN,
    VALKEY_PORT,
    database_url,
)
from processes import Service, accepts, answers

_PINS = "letta-0.16.8"
_DATABASE = "letta_0_16_8"
_FOLDER = HOME / "letta"
_VENV = _FOLDER / "venv"
_WORK = _FOLDER / "work"
_ENVIRONMENT = {
    # Without sslmode it insists on TLS; with its default of no pool, messages were seen to hang for 60 s.
    "LETTA_PG_URI": f"{database_url(_DATABASE)}?sslmode=disable",
    "LETTA_DISABLE_SQLALCHEMY_POOLING": "false",
    "LETTA_REDIS_HOST": "127.0.0.1",
    "LETTA_REDIS_PORT": str(VALKEY_PORT),
    "OPENAI_API_KEY": os.environ.get("OPENAI_API_KEY") or "sk-stub",
    "OPENAI_BASE_URL": os.environ.get("OPENAI_BASE_URL") or f"{MODEL_STUB_URL}/v1",
    "LETTA_SERVER_SECURE": "true",  # without it the password is not checked
    "LETTA_SERVER_PASSWORD": LETTA_API_KEY,
    "LETTA_NO_DEFAULT_ACTOR": "true",  # else an unknown user is served as the default one
    "HOME": str(_WORK),
    "LETTA_DIR": str(_WORK / ".letta"),
    "NLTK_DATA": str(_WORK / "nltk_data"),
    "DO_NOT_TRACK": "1",
}


def install() -> bool:
    recipe = [PINS / f"{_PINS}.txt", Path(__file__)]
    return build_once(_FOLDER, recipe, lambda: create_python(_VENV, _PINS), running=["letta"])


def prepare_database() -> None:
    """Create the database and its tables, unless they are there."""
    postgres.create_database(_DATABASE)
    if not postgres.query("select to_regclass('messages')", database=_DATABASE):
        _WORK.mkdir(exist_ok=True)
        subprocess.run(
            [_VENV / "bin" / "python", HERE / "create_letta_schema.py"],
            check=True,
            cwd=_WORK,
            env=installing_environment(**_ENVIRONMENT),
            stdout=subprocess.DEVNULL,
        )


def valkey_service() -> Service:
    return Service(
        name="valkey",
        port=VALKEY_PORT,
        port_variable="UPSTREAMS_VALKEY_PORT",
        command=[
            valkey_server(),
            "--bind",
            "127.0.0.1",
            "--port",
            str(VALKEY_PORT),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            RUN,
        ],
        probe=lambda: accepts(VALKEY_PORT),
    )


def service() -> Service:
    return Service(
        name="letta",
        port=LETTA_PORT,
        port_variable="LETTA_PORT",
        folder=_WORK,
        environment=_ENVIRONMENT,
        command=[
            _VENV / "bin" / "letta",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(LETTA_PORT),
        ],
        probe=lambda: answers(f"http://127.0.0.1:{LETTA_PORT}/v1/health/"),
    )
