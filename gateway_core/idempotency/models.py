"""The rows that decide, for all processes, which request with a key does the work."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models

from gateway_core.idempotency.keys import LONGEST_KEY

if TYPE_CHECKING:
    from uuid import UUID


class IdempotencyRecord(models.Model):
    """A request that came with a key: that it was begun, and what came of it.

    The answer is encrypted, whatever it is: some hold a secret that is shown once, others what
    people say to their agents. Of the request nothing is kept but a hash.
    """

    class State(models.TextChoices):
        WORKING = "working", "under way"
        ANSWERED = "answered", "answered"
        ANSWER_NOT_KEPT = "answer_not_kept", "done, answer not kept"
        UNKNOWN = "unknown", "outcome unknown"

    # Whoever made the row knows its id and nobody else does: only they may change it.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=LONGEST_KEY)
    route = models.TextField(help_text="Method and path.")
    scope = models.CharField(max_length=64, help_text="SHA-256 of user, key and route.")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of query and body.")
    state = models.CharField(max_length=16, choices=State, default=State.WORKING)
    status = models.SmallIntegerField(null=True, help_text="Of the answer; empty: none yet.")
    code = models.TextField(default="", help_text="The error code that it ended with.")
    encrypted_answer = models.TextField(
        default="", help_text="Encrypted for this row; see gateway_core.crypto."
    )
    created_at = models.DateTimeField()
    lease_until = models.DateTimeField(
        help_text="No answer until then: its process is taken to have died."
    )
    expires_at = models.DateTimeField(help_text="The key is free again from then on.")

    objects: ClassVar[models.Manager[IdempotencyRecord]] = models.Manager()

    class Meta:
        verbose_name = "idempotency key"
        default_permissions = ("view",)
        ordering = ("-created_at", "id")
        constraints = (
            models.UniqueConstraint(fields=("scope",), name="idempotency_one_for_each_scope"),
        )
        indexes = (
            models.Index(fields=("-created_at", "id"), name="idempotency_created"),
            models.Index(fields=("expires_at",), name="idempotency_expires"),
        )

    def __str__(self) -> str:
        return f"{self.route} {self.state}"


def row_of(reservation: UUID) -> str:
    """Return what the encrypted answer of a record is bound to."""
    return f"idempotency.idempotencyrecord:{reservation}"
