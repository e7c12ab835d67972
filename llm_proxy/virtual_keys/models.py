"""The virtual keys that users' model calls go out with."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from gateway_core import crypto

if TYPE_CHECKING:
    from uuid import UUID

_VALUE_BYTES = 32


class VirtualKeyManager(models.Manager["VirtualKey"]):
    """Finds and makes keys."""

    def managed(self, user_id: UUID) -> VirtualKey:
        """Return the user's managed key, written down now if there is none yet.

        Safe when many requests of a new user come at once, in any number of processes: all of them
        get the one row, and with it the one value.
        """
        keys = self.filter(user_id=user_id, kind=VirtualKey.Kind.MANAGED).exclude(
            state=VirtualKey.State.RETIRING
        )
        key = keys.first()
        if key is None:
            fresh = VirtualKey.chosen(user_id, VirtualKey.Kind.MANAGED)
            self.bulk_create([fresh], ignore_conflicts=True)
            key = keys.get()
        return key


class VirtualKey(models.Model):
    """A key in LiteLLM whose value the gateway chose.

    The row is written before LiteLLM hears of the key, so that making it can be repeated until it
    is done: the same value is the same key.
    """

    class Kind(models.TextChoices):
        MANAGED = "managed", "managed"
        API_KEY = "api_key", "of an API key"

    class State(models.TextChoices):
        CREATING = "creating", "being created"
        ACTIVE = "active", "active"
        BLOCKED = "blocked", "blocked"
        RETIRING = "retiring", "to be deleted in LiteLLM"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="virtual_keys"
    )
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.MANAGED)
    state = models.CharField(max_length=16, choices=State, default=State.CREATING)
    sealed_value = models.TextField(help_text="Encrypted for this row; see gateway_core.crypto.")
    token_hash = models.CharField(
        max_length=64, unique=True, help_text="SHA-256 of the value: LiteLLM's name for the key."
    )
    applied_limits = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text="SHA-256 of the limits that LiteLLM was last told; empty: none yet.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[VirtualKeyManager] = VirtualKeyManager()

    class Meta:
        ordering = ("-created_at", "id")
        constraints = (
            models.UniqueConstraint(
                fields=("user",),
                condition=Q(kind="managed") & ~Q(state="retiring"),
                name="llm_proxy_one_managed_key",
            ),
        )
        indexes = (models.Index(fields=("-created_at", "id"), name="llm_proxy_key_created"),)

    def __str__(self) -> str:
        return f"{self.kind} key of {self.user_id}"

    @classmethod
    def chosen(cls, user_id: UUID, kind: Kind) -> VirtualKey:
        """Return a new, unsaved key with a random value."""
        value = f"sk-{secrets.token_urlsafe(_VALUE_BYTES)}"
        key = cls(user_id=user_id, kind=kind, token_hash=hashlib.sha256(value.encode()).hexdigest())
        key.sealed_value = crypto.seal(value, key.row)
        return key

    @property
    def row(self) -> str:
        """What the sealed value is bound to."""
        return f"llm_proxy.virtualkey:{self.pk}"

    @property
    def alias(self) -> str:
        """The key's name for people who look into LiteLLM.

        It ends in a piece of the hash because LiteLLM wants aliases unique: a key whose row was
        lost with a database must not stand in its successor's way.
        """
        return f"gw:{self.user_id}:{self.token_hash[:8]}"

    def value(self) -> str:
        """Return the key itself.

        Raises:
            SecretUnreadable: the encryption key is not the one it was sealed with.
        """
        return crypto.unseal(self.sealed_value, self.row)
