"""The audit trail: every answered request on both planes, and every change on the control plane."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Final

from django.contrib.auth import get_user_model
from django.db import connection, models, transaction
from django.db.models import Q

from gateway_core.audit.events import Plane, new_id
from gateway_core.audit.projections import project_all

if TYPE_CHECKING:
    from collections.abc import Sequence

# PostgreSQL's texts can't hold NUL, which a caller may well have put into a path. An even number
# of backslashes before it means that the escape is one.
_ESCAPED_NUL: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class AuditEventManager(models.Manager["AuditEvent"]):
    """Stores events."""

    def store(self, lines: Sequence[bytes]) -> int:
        """Insert the events of these lines; return how many of them were not there yet.

        What other apps make of events is made in the same transaction. One statement, whatever the
        number: PostgreSQL itself takes the JSON apart, which leaves the process's time to its
        requests. The e-mail of a user is copied from the user's row.

        Raises:
            DataError, IntegrityError: one of the lines is no event.
            UnicodeDecodeError: one of the lines is no text.
        """
        document = b"[" + b",".join(lines) + b"]"
        if b"\\u0000" in document:
            document = _ESCAPED_NUL.sub(rb"\1\\ufffd", document)
        text = document.decode()
        with transaction.atomic(savepoint=False), connection.cursor() as cursor:
            cursor.execute(_insert_statement(), [text])
            stored = int(cursor.rowcount)
            project_all(text)
        return stored


class AuditEvent(models.Model):
    """Somebody's request or change, and how it ended.

    Rows are written once and never changed. Nothing refers to other tables, so they outlive what
    they speak of. A change belongs to a request by ``request_id`` and has no ``status``.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    at = models.DateTimeField(help_text="When the request ended or the change was made.")
    plane = models.TextField(choices=[(plane.value, plane.value) for plane in Plane])
    action = models.TextField(help_text="The operation of a request, or the change made.")
    route = models.TextField(default="")
    method = models.TextField(default="")
    path = models.TextField(default="", help_text="Without the query.")
    user_id = models.UUIDField(null=True, help_text="Who did it; empty when that is not known.")
    user_email = models.TextField("user e-mail", default="")
    resource = models.TextField(default="", help_text="What it was done to.")
    client_ip = models.TextField("client IP", default="")
    request_id = models.TextField(default="")
    trace_id = models.TextField(default="")
    status = models.SmallIntegerField(null=True, help_text="Empty: a change, not a request.")
    code = models.TextField(default="", help_text="The error code; empty when all went well.")
    duration_ms = models.FloatField(null=True)
    first_byte_ms = models.FloatField(null=True)
    bytes_in = models.BigIntegerField(default=0)
    bytes_out = models.BigIntegerField(default=0)
    facts = models.JSONField(default=dict)

    objects: ClassVar[AuditEventManager] = AuditEventManager()

    class Meta:
        default_permissions = ("view",)
        ordering = ("-at", "-id")
        indexes = (
            models.Index(fields=["-at", "-id"], name="audit_at"),
            models.Index(fields=["user_id", "-at"], name="audit_user_at"),
            models.Index(fields=["request_id"], name="audit_request"),
            models.Index(fields=["code", "-at"], name="audit_error_at", condition=~Q(code="")),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.route} {self.action} {self.status or ''}".strip()


def _insert_statement() -> str:
    """Return the statement whose one parameter is a JSON array of events."""
    fields = AuditEvent._meta.concrete_fields  # noqa: SLF001 - Django's documented Meta API
    names = [field.attname for field in fields]
    user = get_user_model()
    email = f"users.{user.get_email_field_name()}"
    values = ", ".join(f"event.{name}" for name in names).replace(
        "event.user_email", f"coalesce(event.user_email, {email}, '')"
    )
    types = ", ".join(f"{field.attname} {field.db_type(connection)}" for field in fields)
    return (
        f"INSERT INTO {AuditEvent._meta.db_table} ({', '.join(names)}) "  # noqa: S608, SLF001 - names
        f"SELECT {values} FROM jsonb_to_recordset(%s::jsonb) AS event({types}) "
        f"LEFT JOIN {user._meta.db_table} users ON users.id = event.user_id "  # noqa: SLF001
        "ON CONFLICT (id) DO NOTHING"
    )
