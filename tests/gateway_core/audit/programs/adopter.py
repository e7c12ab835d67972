"""Ships what lies in a spool when told to, and says how many files it has claimed.

Usage: adopter SPOOL_DIRECTORY
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import django

django.setup()

from gateway_core.audit.shipper import ship  # noqa: E402 - Django first
from gateway_core.audit.spool import Spool  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Generator

    from gateway_core.audit.spool import SpoolFile


class CountingSpool(Spool):
    claimed = 0

    def claim(self) -> Generator[SpoolFile]:
        for file in super().claim():
            self.claimed += 1
            yield file


def main() -> None:
    spool = CountingSpool(Path(sys.argv[1]))
    os.write(1, b"ready\n")
    sys.stdin.readline()
    ship(spool)
    os.write(1, b"%d\n" % spool.claimed)


main()
