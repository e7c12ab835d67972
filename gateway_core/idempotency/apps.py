from __future__ import annotations

from django.apps import AppConfig


class IdempotencyConfig(AppConfig):
    """Holds the table of keys."""

    name = "gateway_core.idempotency"
    label = "idempotency"
    verbose_name = "Idempotency keys"

    def ready(self) -> None:
        """Have stored answers go along when encryption keys are rotated."""
        from gateway_core import encrypted  # noqa: PLC0415 - models must be loaded first
        from gateway_core.idempotency.models import IdempotencyRecord, row_of  # noqa: PLC0415 - likewise

        encrypted.register(
            encrypted.EncryptedColumn(
                name="idempotent answers",
                model=IdempotencyRecord,
                column="encrypted_answer",
                bound_to=row_of,
            )
        )
