"""Everything behind the gateway fails in every way, and what comes of it is what is promised.

    python -m tests.torture.failures [--write]

``--write`` writes docs/FAILURES.md anew when every promise of ``tests/failures/promises.py`` holds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.failures import document

_PROJECT: Final = Path(__file__).resolve().parents[2]
_TESTS: Final = "tests/failures"
_NOT_THE_PAGE: Final = ("-k", "not document")


def main() -> int:
    """Run all cases and return the exit status of pytest."""
    command = [sys.executable, "-m", "pytest", _TESTS, "--capture=no"]
    is_writing = "--write" in sys.argv[1:]
    status = subprocess.run(
        [*command, *(_NOT_THE_PAGE if is_writing else ())],
        check=False,
        cwd=_PROJECT,
        env={**os.environ, "ALL_FAILURES": "1"},
    ).returncode
    if is_writing and status == 0:
        document.PATH.write_text(document.document(), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
