"""This process's part in the audit trail: its spool, and the thread that ships it."""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING, Final

from django.conf import settings

from gateway_core.audit.events import is_worth_keeping, line_of
from gateway_core.audit.shipper import Shipper
from gateway_core.audit.spool import Spool

if TYPE_CHECKING:
    from gateway_core.context import RequestRecord

_STOP_SECONDS: Final = 5.0

_lock = threading.Lock()
_spool: Spool | None = None
_shipper: Shipper | None = None


def keep(record: RequestRecord) -> None:
    """Put a finished request on the trail. When this returns, ``kill -9`` can't undo it."""
    if is_worth_keeping(record):
        (_spool or start()).append(line_of(record))


def start() -> Spool:
    """Begin to ship, with what earlier processes have left. The first event does it as well."""
    global _spool, _shipper  # noqa: PLW0603 - one of each in a process
    with _lock:
        if _spool is None:
            _spool = Spool(settings.AUDIT_SPOOL_DIR)
        if _shipper is None and settings.AUDIT_SHIP_SECONDS:
            _shipper = Shipper(_spool, interval_seconds=settings.AUDIT_SHIP_SECONDS)
            _shipper.start()
        return _spool


def flush(timeout_seconds: float) -> bool:
    """Wait until all events so far are in the database; say whether they are."""
    return _shipper is not None and _shipper.flush(timeout_seconds)


def stop(timeout_seconds: float = _STOP_SECONDS) -> None:
    """Ship what is left and end the thread. Events after that wait for the next process."""
    global _shipper
    with _lock:
        shipper, _shipper = _shipper, None
    if shipper is not None:
        shipper.stop(timeout_seconds)
    if _spool is not None:
        _spool.hand_over()


def _begin_anew() -> None:
    """Forget, in a forked child, the parent's thread, which is not there, and the parent's file."""
    global _lock, _spool, _shipper  # noqa: PLW0603 - as above
    _lock = threading.Lock()
    if _spool is not None:
        _spool.abandon()
    _spool = _shipper = None


atexit.register(stop)
os.register_at_fork(after_in_child=_begin_anew)
