"""Every operation of the API document is called many times, and answers as described.

    python -m tests.torture.described [--examples 60] [--seed N]

The same test as in the suite, with more examples: of what fits each operation, and of what does
not. The seed, which is printed, makes the same calls again.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from tests.serving import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

_TEST: Final = CHECKOUT / "tests" / "gateway_project" / "test_answers_as_described.py"
_SECONDS_FOR_EACH_TAG: Final = 3600


@dataclass
class Figures:
    """How often each status was the answer."""

    statuses: Counter[str] = field(default_factory=Counter)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test has written down."""
        if report.when == "call":
            for name, value in report.user_properties:
                self.statuses[name] += int(str(value))

    def table(self) -> str:
        """Return it as text."""
        return "\n".join(f"{name:<24}  {count:>9}" for name, count in sorted(self.statuses.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the test and print the figures; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.described")
    parser.add_argument("--examples", type=int, default=60)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    options = parser.parse_args(arguments)
    os.environ["DESCRIBED_EXAMPLES"] = str(options.examples)
    os.environ["DESCRIBED_SEED"] = str(options.seed)
    sys.stdout.write(f"described: {options.examples} examples, seed {options.seed}\n")
    figures, began = Figures(), time.monotonic()
    status = pytest.main(
        [str(_TEST), f"--timeout={_SECONDS_FOR_EACH_TAG}", f"--rootdir={CHECKOUT}"],
        plugins=[figures],
    )
    figures.statuses["seconds"] = round(time.monotonic() - began)
    sys.stdout.write(f"{figures.table()}\n")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
