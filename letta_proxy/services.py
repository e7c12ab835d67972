"""What other apps may ask of this one."""

from __future__ import annotations

from letta_proxy.models import Kind
from letta_proxy.ownership import Created, forget_deleted, owns, record_created
from letta_proxy.provisioning import ensure_account, letta_user_for

__all__ = (
    "Created",
    "Kind",
    "ensure_account",
    "forget_deleted",
    "letta_user_for",
    "owns",
    "record_created",
)
