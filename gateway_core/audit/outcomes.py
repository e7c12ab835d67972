"""What became of events, counted for operators."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

_EVENTS: Final = Counter(
    "gateway_audit_events", "Audit events by what became of them.", ["outcome"]
)

# In the database.
STORED: Final = _EVENTS.labels("stored")
# PostgreSQL will never take it; kept beside the spool for a person to look at.
REJECTED: Final = _EVENTS.labels("rejected")
# The spool could not be written.
LOST: Final = _EVENTS.labels("lost")
