"""The audit trail: every answered request on both planes, and every change on the control plane.

Events are partitioned by month, see ``months``, and sealed in batches that form a chain, see
``batches``.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Final

from django.contrib.auth import get_user_model
from django.db import connection, models, transaction
from django.db.models import Q

from gateway_core.audit import chain
from gateway_core.audit.batches import Kind
from gateway_core.audit.events import Plane, new_id
from gateway_core.audit.keys import signer
from gateway_core.audit.leaves import FIELDS, SQL_LEAF, SQL_MONTH
from gateway_core.audit.projections import project_all

if TYPE_CHECKING:
    from collections.abc import Sequence

# What a signature of a single change is about, so that it is good for nothing else.
CHANGE: Final = b"gateway audit change 1\n"

# PostgreSQL's texts can't hold NUL, which a caller may well have put into a path. An even number
# of backslashes before it means that the escape is one.
_ESCAPED_NUL: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class AuditEventManager(models.Manager["AuditEvent"]):
    """Stores events."""

    def store(self, lines: Sequence[bytes]) -> int:
        """Insert the events of these lines as a batch; return how many were not there yet.

        What other apps make of events is made in the same transaction. One statement, whatever the
        number: PostgreSQL itself takes the JSON apart and hashes it, which leaves the process's
        time to its requests. The e-mail of a user is copied from the user's row.

        Raises:
            DataError, IntegrityError: one of the lines is no event.
            UnicodeDecodeError: one of the lines is no text.
        """
        text = _document(lines)
        with transaction.atomic(savepoint=False), connection.cursor() as cursor:
            last = chain.begin()
            cursor.execute(_STORE.format(insert=_insert()), [last.sequence + 1, text])
            digests = {
                month: {"events": events, "digest": digest}
                for month, events, digest in cursor.fetchall()
            }
            if digests:
                chain.append(last, kind=Kind.EVENTS, digests=digests)
            project_all(text)
        return sum(one["events"] for one in digests.values())

    def store_change(self, line: bytes) -> None:
        """Insert the event of a change, signed by itself: a shipper seals it, soon.

        Its caller's transaction may last, and other writers are not to wait for it.
        """
        text = _document([line])
        with transaction.atomic(savepoint=False), connection.cursor() as cursor:
            cursor.execute(f"{_insert()} RETURNING id, {SQL_LEAF}", [None, text])
            event_id, leaf = cursor.fetchone()
            signature = signer().sign(CHANGE + leaf).hex()
            key_id = signer().key_id
            UnsealedChange.objects.create(event_id=event_id, key_id=key_id, signature=signature)
            project_all(text)


class AuditEvent(models.Model):
    """Somebody's request or change, and how it ended.

    Rows are written once and changed only when somebody is erased. Nothing refers to other tables,
    so they outlive what they speak of. A change belongs to a request by ``request_id`` and has no
    ``status``.
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
    batch = models.BigIntegerField(
        null=True, help_text="The batch that says what it says now; empty until a change is sealed."
    )
    salt = models.UUIDField(null=True, editable=False)
    replaces = models.BinaryField(
        default=b"", help_text="The leaf of what it said before somebody was erased from it."
    )

    objects: ClassVar[AuditEventManager] = AuditEventManager()

    class Meta:
        default_permissions = ("view",)
        ordering = ("-at", "-id")
        indexes = (
            models.Index(fields=["-at", "-id"], name="audit_at"),
            models.Index(fields=["user_id", "-at"], name="audit_user_at"),
            models.Index(fields=["request_id"], name="audit_request"),
            models.Index(fields=["code", "-at"], name="audit_error_at", condition=~Q(code="")),
            models.Index(fields=["batch"], name="audit_batch"),
            models.Index(fields=["resource"], name="audit_change_of", condition=Q(status=None)),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.route} {self.action} {self.status or ''}".strip()


class AuditBatch(models.Model):
    """A link of the chain, see ``batches.Batch``. Never changed; old ones go with their months."""

    sequence = models.BigIntegerField(primary_key=True)
    kind = models.TextField(choices=[(kind.value, kind.value) for kind in Kind])
    at = models.DateTimeField(help_text="When it was sealed.")
    events = models.IntegerField()
    digests = models.JSONField(help_text="Of each month: how many events, and their hash.")
    notes = models.JSONField(
        default=dict, help_text="The month that was dropped, and where the chain begins since then."
    )
    previous = models.TextField(help_text="Hash of the batch before.")
    key_id = models.TextField("key")
    hash = models.TextField()
    signature = models.TextField()

    class Meta:
        default_permissions = ("view",)
        ordering = ("-sequence",)
        indexes = (
            models.Index(fields=["kind"], name="audit_batch_kind", condition=~Q(kind="events")),
        )
        verbose_name = "batch"
        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"


class WithdrawnState(models.Model):
    """What is left of what an event said before somebody was erased from it: its hash.

    With it the batch that has sealed that can still be verified.
    """

    event_id = models.UUIDField()
    batch = models.BigIntegerField()
    content = models.BinaryField()
    replaces = models.BinaryField(default=b"")

    class Meta:
        default_permissions = ("view",)
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=["batch", "event_id"], name="audit_withdrawn_once"),
        )

    def __str__(self) -> str:
        return f"{self.event_id} in {self.batch}"


class UnsealedChange(models.Model):
    """The signature of a change that is in no batch yet: nobody else's row gets into one."""

    event_id = models.UUIDField(primary_key=True)
    key_id = models.TextField()
    signature = models.TextField()
    is_refused = models.BooleanField(default=False)

    class Meta:
        default_permissions = ("view",)
        ordering = ("-event_id",)

    def __str__(self) -> str:
        return str(self.event_id)


_STORE: Final = f"""
WITH stored AS ({{insert}} RETURNING id, {SQL_LEAF} AS leaf),
dated AS (SELECT id, leaf, {SQL_MONTH} AS month FROM stored)
SELECT month, count(*), encode(sha256(string_agg(leaf, ''::bytea ORDER BY id)), 'hex')
FROM dated GROUP BY month
"""  # noqa: S608 - names


def _document(lines: Sequence[bytes]) -> str:
    document = b"[" + b",".join(lines) + b"]"
    if b"\\u0000" in document:
        document = _ESCAPED_NUL.sub(rb"\1\\ufffd", document)
    return document.decode()


@cache
def _insert() -> str:
    """Return the statement whose parameters are a batch and a JSON array of events."""
    meta = AuditEvent._meta  # noqa: SLF001 - Django's documented Meta API
    user = get_user_model()
    email = f"users.{user.get_email_field_name()}"
    values = ", ".join(f"event.{name}" for name in FIELDS).replace(
        "event.user_email", f"coalesce(event.user_email, {email}, '')"
    )
    types = ", ".join(f"{name} {meta.get_field(name).db_type(connection)}" for name in FIELDS)
    return (
        f"INSERT INTO {meta.db_table} ({', '.join(FIELDS)}, batch, salt, replaces) "  # noqa: S608 - names
        f"SELECT {values}, %s, gen_random_uuid(), ''::bytea "
        f"FROM jsonb_to_recordset(%s::jsonb) AS event({types}) "
        f"LEFT JOIN {user._meta.db_table} users ON users.id = event.user_id "  # noqa: SLF001
        "ON CONFLICT (id) DO NOTHING"
    )
