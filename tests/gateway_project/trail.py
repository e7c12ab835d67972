"""What became of requests on the audit trail."""

from __future__ import annotations

from gateway_core.audit import trail
from gateway_core.audit.models import AuditEvent
from gateway_core.audit.shipper import ship


def kept(request_id: str) -> list[AuditEvent]:
    """Return the events of a request, once the spool is empty."""
    spool = trail.start()
    spool.hand_over()
    ship(spool)
    return list(AuditEvent.objects.filter(request_id=request_id, status__isnull=False))
