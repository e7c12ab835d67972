"""The long tests: each prints its figures as a table and ends with an error if a promise is broken.

    python -m tests.torture [PART …] [-- OPTIONS]

Without parts all of them are run, one after another. Everything is on loopback, in a temporary
directory, and gone afterwards.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

_PARTS: Final = ("audit", "described", "failures", "rolling_restart", "sync_keys")
_PROJECT: Final = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run the parts and return the exit status: that of the first that has failed."""
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    parts, options = arguments[:end], arguments[end + 1 :]
    unknown = set(parts) - set(_PARTS)
    if unknown:
        sys.stderr.write(f"{', '.join(sorted(unknown))}: there are {', '.join(_PARTS)}\n")
        return 2
    statuses = [_run(part, options) for part in parts or _PARTS]
    return next(filter(None, statuses), 0)


def _run(part: str, options: list[str]) -> int:
    command = [sys.executable, "-m", f"tests.torture.{part}", *options]
    return subprocess.run(command, cwd=_PROJECT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
