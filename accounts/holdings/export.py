"""Exporting all that is held of a user: one ZIP, built by a job."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.holdings.holder import holders
from accounts.holdings.models import ExportPart
from gateway_core.audit.services import record_change
from gateway_core.errors import ResourceNotFound
from gateway_core.jobs import services as jobs
from gateway_core.jobs.models import Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

    from accounts.models import User
    from gateway_core.jobs.services import Progress

KIND: Final = "export"
KEPT: Final = timedelta(days=7)
_PART_BYTES: Final = 1024 * 1024
_IN_MEMORY_BYTES: Final = 16 * 1024 * 1024


def ask_for_export(*, user: User) -> Job:
    """Have a user's export built; returns the job that is under way if there is one."""
    with transaction.atomic():
        type(user).objects.select_for_update().get(pk=user.pk)
        job = jobs.unfinished(KIND, str(user.pk))
        if job is None:
            record_change(actor=user, action="user.export", resource=f"user:{user.pk}")
            job = jobs.ask_for(KIND, subject=str(user.pk))
    return job


def last_export(user_id: UUID) -> Job:
    """Return the newest export of a user.

    Raises:
        ResourceNotFound: they have asked for none.
    """
    job = Job.objects.filter(kind=KIND, subject=str(user_id)).order_by("-created_at").first()
    if job is None:
        raise ResourceNotFound("You have asked for no export. POST here to have one made.")
    return job


def parts(job: Job) -> Iterator[bytes]:
    """Yield the ZIP of an export that is ready.

    Raises:
        ResourceNotFound: it is not, or not any more.
    """
    numbers = ExportPart.objects.filter(job=job).order_by("number")
    found = list(numbers.values_list("pk", flat=True))
    if job.state != Job.State.DONE or not found:
        raise ResourceNotFound("That export is not ready, or too old. GET /api/v1/me/export.")
    return (bytes(ExportPart.objects.get(pk=pk).content) for pk in found)


def outdated() -> QuerySet[Job]:
    """Return the jobs of exports that have been kept long enough."""
    return Job.objects.filter(kind=KIND, ended_at__lt=timezone.now() - KEPT)


def work(progress: Progress) -> None:
    """Build the ZIP, from the beginning."""
    user_id = UUID(progress.job.subject)
    everybody = holders()
    progress.note(done=0, total=len(everybody))
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
        with zipfile.ZipFile(file, "w") as archive:
            for number, holder in enumerate(everybody, start=1):
                for document in holder.export(user_id):
                    with archive.open(_entry(f"{holder.name}/{document.path}"), "w") as entry:
                        for piece in document.pieces:
                            entry.write(piece)
                            progress.note()
                progress.note(done=number)
        file.seek(0, os.SEEK_END)
        size = file.tell()
        sha256 = _store(progress.job, user_id, file)
    progress.note(bytes=size, sha256=sha256, until=(timezone.now() + KEPT).isoformat())


def _entry(path: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, timezone.now().timetuple()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _store(job: Job, user_id: UUID, file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    with transaction.atomic():
        # Of all exports of theirs: the newest alone can be fetched.
        ExportPart.objects.filter(user_id=user_id).delete()
        number = 0
        while content := file.read(_PART_BYTES):
            digest.update(content)
            ExportPart.objects.create(job=job, user_id=user_id, number=number, content=content)
            number += 1
    return digest.hexdigest()
