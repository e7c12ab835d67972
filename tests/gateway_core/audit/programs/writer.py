"""Appends numbered events for ever, and says each number once it is kept.

Usage: writer SPOOL_DIRECTORY NAME
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

from gateway_core.audit.spool import Spool
from tests.gateway_core.audit.numbered import numbered

_LARGEST_PADDING = 20_000


def main() -> None:
    spool = Spool(Path(sys.argv[1]), max_file_bytes=1_000_000)
    for number in itertools.count():
        # Lines of several pages, because a kill can cut a write between two of them.
        padding = number * 997 % _LARGEST_PADDING
        if spool.append(numbered(number, writer=sys.argv[2], padding=padding)):
            os.write(1, b"%d\n" % number)


main()
