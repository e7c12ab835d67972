"""Templates and their versions, which never change once they are published."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import OuterRef, Q, Subquery

from accounts.staff import may
from templates_app.agent_file.loading import Format
from templates_app.agent_file.versions import MOST_CHARACTERS as VERSION_MAX_LENGTH
from templates_app.agent_file.versions import RELEASE_KEY
from templates_app.permissions import CHANGE, VIEW

if TYPE_CHECKING:
    from accounts.models import User

NAME_MAX_LENGTH = 64
TAG_MAX_LENGTH = 50


class Visibility(models.TextChoices):
    """Who sees a template."""

    PRIVATE = "private"
    PUBLIC = "public"


class TemplateQuerySet(models.QuerySet["Template"]):
    """Templates."""

    def for_user(self, user: User) -> TemplateQuerySet:
        """Return what a user may see: their own and the public; some staff also drafts."""
        seen = Q(owner=user) | Q(visibility=Visibility.PUBLIC)
        sees_drafts = any(may(user, permission) for permission in (VIEW, CHANGE))
        return self.filter(seen | Q(owner=None) if sees_drafts else seen)

    def of(self, owner: User | None, name: str) -> TemplateQuerySet:
        """Return the one template of an owner by its name, None being the product."""
        return self.filter(owner=owner, name=name)

    def with_latest_version(self) -> TemplateQuerySet:
        """Return them with ``latest_version``, the text of a version or None."""
        latest = TemplateVersion.objects.filter(template=OuterRef("pk"), is_latest=True)
        return self.annotate(latest_version=Subquery(latest.values("version")[:1]))


class Template(models.Model):
    """What agents are made from. All of it that an agent sees is in its versions.

    Public templates belong to the product, which has no row: staff look after them.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="templates",
        help_text="Empty: the product.",
    )
    name = models.CharField(
        max_length=NAME_MAX_LENGTH, help_text="As in the files of all its versions."
    )
    visibility = models.CharField(
        max_length=16, choices=Visibility.choices, default=Visibility.PRIVATE
    )
    description = models.TextField(blank=True, default="")
    tags = ArrayField(models.CharField(max_length=TAG_MAX_LENGTH), default=list, blank=True)
    labels = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deprecated_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when no more agents are made from it."
    )

    objects: ClassVar[TemplateQuerySet] = TemplateQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ("-created_at", "-id")
        indexes = (
            models.Index(fields=("-created_at", "-id"), name="template_created"),
            models.Index(
                fields=("-created_at", "-id"),
                name="template_public",
                condition=Q(visibility=Visibility.PUBLIC),
            ),
        )
        constraints = (
            models.UniqueConstraint(fields=("owner", "name"), name="template_name_of_owner"),
            models.UniqueConstraint(
                fields=("name",), condition=Q(owner=None), name="template_name_of_product"
            ),
            models.CheckConstraint(
                condition=Q(visibility__in=Visibility.values), name="template_visibility"
            ),
            models.CheckConstraint(
                condition=Q(visibility=Visibility.PRIVATE) | Q(owner=None),
                name="template_public_is_of_product",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def full_name(self) -> str:
        """What staff tell it from others by."""
        return f"{self.name} ({self.pk})"


class TemplateVersionQuerySet(models.QuerySet["TemplateVersion"]):
    """Versions of templates."""

    def without_content(self) -> TemplateVersionQuerySet:
        """Return them without what makes a row large; it is fetched when it is asked for."""
        return self.defer("document", "raw")


class TemplateVersion(models.Model):
    """An Agent File as it was published.

    A trigger in the database refuses every change of it but for what is said about it: whether it
    is the latest, and since when it is deprecated.
    """

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="versions")
    version = models.CharField(max_length=VERSION_MAX_LENGTH, help_text="Semantic version.")
    major = models.PositiveIntegerField()
    minor = models.PositiveIntegerField()
    patch = models.PositiveIntegerField()
    prerelease_key = models.CharField(
        max_length=255, db_collation="C", help_text="Sorts pre-releases before the release."
    )
    checksum = models.CharField(max_length=64, help_text="SHA-256 of the canonical JSON.")
    document = models.JSONField(help_text="The Agent File as JSON.")
    raw = models.TextField(help_text="The Agent File as it was sent.")
    format = models.CharField(max_length=8, choices=[(one.value, one.name) for one in Format])
    changelog = models.TextField(blank=True, default="")
    is_latest = models.BooleanField(default=False)
    deprecated_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when no more agents are made from it."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Empty: the gateway itself, or somebody who is gone.",
    )

    objects: ClassVar[TemplateVersionQuerySet] = TemplateVersionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = "template version"
        ordering = ("-major", "-minor", "-patch", "-prerelease_key")
        constraints = (
            models.UniqueConstraint(
                fields=("template", "major", "minor", "patch", "prerelease_key"),
                name="template_version_unique",
            ),
            models.UniqueConstraint(
                fields=("template",), condition=Q(is_latest=True), name="template_version_latest"
            ),
            models.CheckConstraint(
                condition=Q(is_latest=False) | Q(deprecated_at=None),
                name="template_version_latest_is_current",
            ),
            models.CheckConstraint(
                condition=Q(format__in=[one.value for one in Format]),
                name="template_version_format",
            ),
        )

    def __str__(self) -> str:
        return self.version

    @property
    def full_name(self) -> str:
        """What staff tell it from others by."""
        return f"{self.template} {self.version}"

    @property
    def precedence(self) -> tuple[int, int, int, str]:
        """What versions are compared by."""
        return self.major, self.minor, self.patch, self.prerelease_key

    @property
    def is_prerelease(self) -> bool:
        """Whether it comes before a release."""
        return self.prerelease_key != RELEASE_KEY
