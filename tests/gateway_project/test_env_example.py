"""``env.example`` is complete, has nothing more, and tells the truth about defaults."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]
_EXAMPLE = _CHECKOUT / "env.example"
_READERS = {"text", "secret", "secrets", "boolean", "number", "integer", "rate", "words"}
# Read by the run command, before there are settings.
_OF_THE_RUN_COMMAND = {"PORT", "SANDBOX_DIR"}
_DUMP = """
import json, sys, environ
if len(sys.argv) > 1:
    environ.Env.read_env(sys.argv[1])
environ.Env.read_env = lambda *_, **__: None
from gateway_project import settings
print(json.dumps({name: repr(value) for name, value in vars(settings).items() if name.isupper()}))
"""


def _names_that_settings_read() -> set[str]:
    tree = ast.parse((_CHECKOUT / "gateway_project/settings.py").read_text(encoding="utf-8"))
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _READERS
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def _settings(*arguments: str) -> dict[str, str]:
    """Return the settings of a process that has nothing in its environment but ``arguments``."""
    result = subprocess.run(
        [sys.executable, "-c", _DUMP, *arguments],
        cwd=_CHECKOUT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
        text=True,
    )
    return dict(json.loads(result.stdout))


def test_lists_exactly_what_is_read() -> None:
    listed = re.findall(r"^([A-Z][A-Z0-9_]*)=", _EXAMPLE.read_text("utf-8"), flags=re.MULTILINE)

    assert set(listed) == _names_that_settings_read() | _OF_THE_RUN_COMMAND
    assert len(listed) == len(set(listed))


def test_says_something_about_each_variable() -> None:
    lines = _EXAMPLE.read_text("utf-8").splitlines()

    for before, line in pairwise(lines):
        if re.match(r"[A-Z]", line):
            assert before.startswith("# "), line


def test_changes_nothing_when_it_is_copied_as_it_is() -> None:
    assert _settings(str(_EXAMPLE)) == _settings()
