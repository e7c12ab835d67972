"""Everything behind the gateway fails in every way, and what comes of it is what is promised.

    python -m tests.torture.failures [--write]

``--write`` writes docs/FAILURES.md anew when every promise of ``tests/failures/promises.py`` holds.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.failures import document
from tests.serving import CHECKOUT

_TESTS: Final = CHECKOUT / "tests" / "failures"
_NOT_THE_PAGE: Final = ("-k", "not document")
_ROW: Final = "{:<32}  {:>7}  {:>8}  {:>10}  {:>6}"
_NAME: Final = re.compile(r".*\[(.*)\]")


@dataclass
class Figures:
    """What became of each case."""

    rows: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test has written down."""
        name = _NAME.fullmatch(report.nodeid)
        if name is None or (report.when != "call" and report.passed):
            return
        seen = dict(report.user_properties)
        seconds = (f"{seen[key]:.1f}" if key in seen else "" for key in ("answered", "back"))
        held = "held" if report.passed else "FAILED"
        self.rows.append(_ROW.format(name[1], held, str(seen.get("requests", "")), *seconds))

    def table(self) -> str:
        """Return it as text; times in seconds, of the slowest answer and until all was well."""
        head = _ROW.format("case", "promise", "requests", "answered s", "back s")
        return "\n".join((head, *self.rows))


def main() -> int:
    """Run all cases, print the figures and return the exit status of pytest."""
    os.environ["ALL_FAILURES"] = "1"
    is_writing = "--write" in sys.argv[1:]
    figures = Figures()
    arguments = [str(_TESTS), f"--rootdir={CHECKOUT}", *(_NOT_THE_PAGE if is_writing else ())]
    status = int(pytest.main(arguments, plugins=[figures]))
    sys.stdout.write(f"{figures.table()}\n")
    if is_writing and status == 0:
        document.PATH.write_text(document.document(), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
