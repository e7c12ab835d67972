"""Whether PostgreSQL is away, as far as this process knows.

Whoever wants a connection from an empty pool waits for ``DATABASE_POOL_TIMEOUT``, in one of a few
threads. The outage begins when no connection can be made, and ends with the next answer.
"""

from __future__ import annotations

from typing import Final

from gateway_core.logging import get_logger
from gateway_core.outage import Outage

OUTAGE: Final = Outage(
    get_logger("gateway.database"), away="database is away", back="database is back"
)
