"""The virtual keys that users' model calls go out with."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from typing import TYPE_CHECKING, ClassVar, Final

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.views.decorators.debug import sensitive_variables

from gateway_core import crypto

if TYPE_CHECKING:
    from uuid import UUID

ALIAS_PREFIX: Final = "gw:"

_VALUE_BYTES: Final = 32


class Installation(models.Model):
    """This gateway, as LiteLLM knows it from others that it may serve: one row, shipped."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    objects: ClassVar[models.Manager[Installation]] = models.Manager()

    def __str__(self) -> str:
        return str(self.pk)


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
    encrypted_value = models.TextField(help_text="Encrypted for this row; see gateway_core.crypto.")
    token_hash = models.CharField(
        max_length=64, unique=True, help_text="SHA-256 of the value: LiteLLM's name for the key."
    )
    predecessor_hash = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text="Of the key that this one replaces, and whose spending it goes on with.",
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
        default_permissions = ("view",)
        permissions = (
            ("block_virtualkey", "Can block and unblock virtual keys"),
            ("replace_virtualkey", "Can replace virtual keys"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("user",),
                condition=Q(kind="managed") & ~Q(state="retiring"),
                name="llm_proxy_one_managed_key",
            ),
        )
        indexes = (
            models.Index(fields=("-created_at", "id"), name="llm_proxy_key_created"),
            models.Index(
                fields=("created_at",),
                condition=Q(state__in=("creating", "retiring")),
                name="llm_proxy_key_unfinished",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} key of {self.user_id}"

    @classmethod
    @sensitive_variables("value")
    def chosen(cls, user_id: UUID, kind: Kind) -> VirtualKey:
        """Return a new, unsaved key with a random value."""
        value = f"sk-{secrets.token_urlsafe(_VALUE_BYTES)}"
        key = cls(user_id=user_id, kind=kind, token_hash=hashlib.sha256(value.encode()).hexdigest())
        key.encrypted_value = crypto.encrypt(value, key.row)
        return key

    @property
    def row(self) -> str:
        """What the encrypted value is bound to."""
        return row_of(self.pk)

    @property
    def alias(self) -> str:
        """The key's name for people who look into LiteLLM.

        It ends in a piece of the hash because LiteLLM wants aliases unique: a key whose row was
        lost with a database must not stand in its successor's way.
        """
        return f"{ALIAS_PREFIX}{self.user_id}:{self.token_hash[:8]}"

    def value(self) -> str:
        """Return the key itself.

        Raises:
            SecretUnreadable: the encryption key is not the one it was encrypted with.
        """
        return crypto.decrypt(self.encrypted_value, self.row)


def row_of(virtual_key_id: UUID) -> str:
    """Return what the encrypted value of a key is bound to."""
    return f"llm_proxy.virtualkey:{virtual_key_id}"
