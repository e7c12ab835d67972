"""A real LiteLLM proxy with database-backed virtual keys.

LiteLLM reaches its database through Prisma's native query engine, which has to be downloaded from
Prisma's own host. The same engine ships as WebAssembly inside npm packages; litellm_engine/ puts it
behind the native one's protocol.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import postgres
from environments import NODE, NPM, PINS, build_once, create_python, installing_environment
from places import (
    FAST_STUB_URL,
    HERE,
    HOME,
    LITELLM_MASTER_KEY,
    LITELLM_PORT,
    MODEL_STUB_URL,
    RUN,
    database_url,
)
from processes import Service, answers

_PINS = "litellm-1.109.1"
_DATABASE = "litellm_1_109_1"
_SOURCES = HERE / "litellm_engine"
_FOLDER = HOME / "litellm"
_VENV = _FOLDER / "venv"
_ENGINE = _FOLDER / "engine"
_QUERY_ENGINE = _ENGINE / "query-engine"
_SHADOW_BIN = _FOLDER / "bin"
_PRISMA_VERSION = "5.17.0"
_PRISMA_ENGINE_COMMIT = "393aa359c9ad4a4bb28630fb5613f9c281cde053"
# The Postgres adapter refuses columns of types it does not know; as text they do.
_UNKNOWN_TYPE = "throw new UnsupportedNativeDataType(fieldTypeId);"
_AS_TEXT = "return import_driver_adapter_utils.ColumnTypeEnum.Text;"


def install() -> bool:
    recipe = [
        PINS / f"{_PINS}.txt",
        PINS / "engines.txt",
        Path(__file__),
        *sorted(_SOURCES.iterdir()),
    ]
    return build_once(_FOLDER, recipe, _build, running=["litellm"])


def prepare_database() -> None:
    """Create the database and its tables, unless they are there. LiteLLM adds its views itself."""
    postgres.create_database(_DATABASE)
    if not postgres.query(
        "select to_regclass('\"LiteLLM_VerificationToken\"')", database=_DATABASE
    ):
        postgres.run_file(_write_schema_sql(), database=_DATABASE)


def service() -> Service:
    config = RUN / "litellm.yaml"
    text = (HERE / "litellm_config.yaml").read_text()
    config.write_text(
        text.replace("FAST_STUB_URL", FAST_STUB_URL).replace("MODEL_STUB_URL", MODEL_STUB_URL)
    )
    return Service(
        name="litellm",
        port=LITELLM_PORT,
        port_variable="LITELLM_PORT",
        folder=_FOLDER / "work",
        inputs=[config],
        command=[
            _VENV / "bin" / "litellm",
            "--config",
            config,
            "--host",
            "127.0.0.1",
            "--port",
            str(LITELLM_PORT),
            "--num_workers",
            os.environ.get("LITELLM_WORKERS") or "1",
        ],
        environment={
            "PATH": f"{_SHADOW_BIN}:{_VENV / 'bin'}:{os.environ['PATH']}",
            "HOME": str(_FOLDER / "work"),
            "DATABASE_URL": database_url(_DATABASE),
            "PRISMA_QUERY_ENGINE_BINARY": str(_QUERY_ENGINE),
            "DISABLE_SCHEMA_UPDATE": "true",
            "LITELLM_MASTER_KEY": LITELLM_MASTER_KEY,
            "LITELLM_SALT_KEY": "sk-salt-1234",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
            "LITELLM_TELEMETRY": "False",
            "DO_NOT_TRACK": "1",
        },
        probe=lambda: answers(f"http://127.0.0.1:{LITELLM_PORT}/health/readiness"),
    )


def _build() -> None:
    python = create_python(_VENV, _PINS)
    _ENGINE.mkdir()
    for name in ("package.json", "package-lock.json", "query_engine.js", "schema_sql.mjs"):
        (_ENGINE / name).write_bytes((_SOURCES / name).read_bytes())
    _in_engine(NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    _accept_unknown_column_types()
    _write_program(_QUERY_ENGINE, f'exec "{NODE}" "{_ENGINE}/query_engine.js" "$@"')
    # At its start LiteLLM runs `prisma migrate diff`, which tries a download; the tables are there already.
    _SHADOW_BIN.mkdir()
    _write_program(_SHADOW_BIN / "prisma", "exit 0")
    _generate_client(python)


def _generate_client(python: Path) -> None:
    """Generate the Python client from LiteLLM's schema, which also lists engines that are not wanted here."""
    packages = (
        _VENV / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    )
    schema = (
        (packages / "litellm" / "proxy" / "schema.prisma").read_text().splitlines(keepends=True)
    )
    (_ENGINE / "schema.prisma").write_text(
        "".join(line for line in schema if "binaryTargets" not in line)
    )
    _in_engine(NODE, "node_modules/prisma/build/index.js", "generate", "--schema", "schema.prisma")
    subprocess.run(
        [python, "-m", "compileall", "-q", packages / "prisma"],
        check=False,
        env=installing_environment(),
    )


def _write_schema_sql() -> Path:
    _in_engine(NODE, "schema_sql.mjs", "schema.prisma", "schema.sql")
    return _ENGINE / "schema.sql"


def _accept_unknown_column_types() -> None:
    adapter = _ENGINE / "node_modules" / "@prisma" / "adapter-pg" / "dist" / "index.js"
    source = adapter.read_text()
    if _UNKNOWN_TYPE not in source:
        raise SystemExit(f"{adapter} is not the release that this recipe was written for")
    adapter.write_text(source.replace(_UNKNOWN_TYPE, _AS_TEXT))


def _write_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _in_engine(*command: str | Path) -> None:
    environment = installing_environment(
        PATH=f"{_VENV / 'bin'}:{NODE.parent}:{os.environ['PATH']}",
        DATABASE_URL=database_url(_DATABASE),
        PRISMA_QUERY_ENGINE_BINARY=str(_QUERY_ENGINE),
        PRISMA_SCHEMA_ENGINE_BINARY=str(_QUERY_ENGINE),
        PRISMA_CLI_QUERY_ENGINE_TYPE="binary",
        PRISMA_VERSION=_PRISMA_VERSION,
        PRISMA_EXPECTED_ENGINE_VERSION=_PRISMA_ENGINE_COMMIT,
        CHECKPOINT_DISABLE="1",
        PRISMA_HIDE_UPDATE_MESSAGE="1",
    )
    done = subprocess.run(
        list(map(str, command)),
        check=False,
        cwd=_ENGINE,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(
            f"{' '.join(map(str, command))} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
