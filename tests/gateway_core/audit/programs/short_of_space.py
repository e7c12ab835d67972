"""Appends numbered events where no file may be longer than some bytes, as on a full disk.

Says each number that is kept. Usage: short_of_space SPOOL_DIRECTORY BYTES EVENTS
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from gateway_core.audit.spool import Spool
from tests.gateway_core.audit.numbered import numbered


def main() -> None:
    limit, events = map(int, sys.argv[2:])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    spool = Spool(Path(sys.argv[1]))
    for number in range(events):
        if spool.append(numbered(number)):
            os.write(1, b"%d\n" % number)


main()
