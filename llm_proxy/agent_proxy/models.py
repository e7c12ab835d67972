"""Which of a user's agent secrets is the one in force."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

FIRST_VERSION = 1


class AgentSecret(models.Model):
    """The version of a user's agent secret; who has no row yet has the first."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="agent_secret",
    )
    version = models.PositiveIntegerField(default=FIRST_VERSION)
    changed_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager[AgentSecret]] = models.Manager()

    class Meta:
        ordering = ("-changed_at", "user")
        indexes = (models.Index(fields=("-changed_at", "user"), name="llm_proxy_agent_secret"),)
        permissions = (("revoke_agentsecret", "Can replace agent secrets"),)

    def __str__(self) -> str:
        return f"version {self.version} of {self.user_id}"
