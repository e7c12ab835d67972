from __future__ import annotations

from django.apps import AppConfig


class IdempotencyConfig(AppConfig):
    """Holds the table of keys."""

    name = "gateway_core.idempotency"
    label = "idempotency"
    verbose_name = "Idempotency keys"
