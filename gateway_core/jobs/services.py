"""Asking for work, and doing it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.utils import timezone

from gateway_core.errors import GatewayError
from gateway_core.jobs.models import Job
from gateway_core.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from uuid import UUID

_log = get_logger("gateway.jobs")

# Renewed with each sign of progress, so longer than any single step of a job takes.
LEASE: Final = timedelta(minutes=5)
_PAUSES_SECONDS: Final = (5, 30, 120, 600)
_UNFINISHED: Final = (Job.State.WAITING, Job.State.WORKING, Job.State.PAUSED)

_workers: dict[str, Callable[[Progress], None]] = {}


def _show_nobody(_done: int, _total: int) -> None:
    pass


class LeaseLost(Exception):
    """Somebody else works on the job, or it was paused or cancelled: stop, and change nothing."""


@dataclass(slots=True)
class Progress:
    """What a job's worker is given: the job, and the way to say how far it has come.

    A worker may be ended at any point and begun anew with the same job. So what it does is safe to
    repeat, and ``result`` tells it what has been done. ``show`` hears how much of what total is.
    """

    job: Job
    show: Callable[[int, int], None] = _show_nobody

    def note(self, *, done: int | None = None, total: int | None = None, **result: Any) -> None:
        """Write down how far it is, and keep the lease. ``result`` is added to what is there.

        Raises:
            LeaseLost: the job is not this worker's any more.
        """
        job = self.job
        job.done = job.done if done is None else done
        job.total = job.total if total is None else total
        job.result |= result
        kept = Job.objects.filter(pk=job.pk, lease=job.lease, state=Job.State.WORKING).update(
            done=job.done,
            total=job.total,
            result=job.result,
            lease_until=timezone.now() + LEASE,
        )
        if not kept:
            raise LeaseLost
        self.show(job.done, job.total)


def register(kind: str, work: Callable[[Progress], None]) -> None:
    """Have jobs of that kind done by ``work``.

    What it raises ends the attempt; another one follows later. A ``GatewayError`` that is not
    retryable ends the job.
    """
    _workers[kind] = work


def ask_for(
    kind: str,
    *,
    subject: str,
    wish: dict[str, Any] | None = None,
    not_before: datetime | None = None,
) -> Job:
    """Write a job down; it begins then, or at once, and after the commit inside a transaction."""
    now = timezone.now()
    return Job.objects.create(
        kind=kind, subject=subject, wish=wish or {}, not_before=not_before or now, created_at=now
    )


def unfinished(kind: str, subject: str) -> Job | None:
    """Return the job of that kind and subject that has not ended yet, if there is one."""
    return Job.objects.filter(kind=kind, subject=subject, state__in=_UNFINISHED).first()


def pause(job_id: UUID) -> bool:
    """Have a job rest where it is; returns whether there was anything to pause."""
    return _move(job_id, (Job.State.WAITING, Job.State.WORKING), Job.State.PAUSED)


def resume(job_id: UUID) -> bool:
    """Have a paused or failed job go on; returns whether there was one."""
    return _move(job_id, (Job.State.PAUSED, Job.State.FAILED), Job.State.WAITING)


def give_way(job_id: UUID) -> bool:
    """Have a job that somebody works on wait for its next turn; returns whether somebody did."""
    return _move(job_id, (Job.State.WORKING,), Job.State.WAITING)


def cancel(job_id: UUID) -> bool:
    """End a job where it is; returns whether it had not ended yet."""
    return _move(job_id, _UNFINISHED, Job.State.CANCELLED)


def work_once() -> bool:
    """Do the next job that is due, as far as it goes; say whether there was one."""
    return _work(Job.objects.claim(tuple(_workers), timezone.now(), LEASE))


def work_on(job_id: UUID, *, show: Callable[[int, int], None] = _show_nobody) -> bool:
    """Do one job now, if nobody else does; say whether it was free.

    Args:
        show: hears of each sign of progress, how much of what total is done.
    """
    return _work(Job.objects.claim(tuple(_workers), timezone.now(), LEASE, only=job_id), show)


def _work(job: Job | None, show: Callable[[int, int], None] = _show_nobody) -> bool:
    if job is None:
        return False
    with _concluding(job):
        _workers[job.kind](Progress(job, show))
    return True


@contextmanager
def _concluding(job: Job) -> Iterator[None]:
    try:
        yield
    except LeaseLost:
        _log.info("job let go", kind=job.kind, job_id=str(job.pk))
    except GatewayError as error:
        _put_off(job, str(error.detail), is_hopeless=not error.retryable)
    except Exception as exc:  # noqa: BLE001 - whatever a worker does, the next job is done
        _log.exception("job failed", kind=job.kind, job_id=str(job.pk))
        _put_off(job, type(exc).__name__, is_hopeless=False)
    else:
        _end(job, Job.State.DONE)


def _put_off(job: Job, error: str, *, is_hopeless: bool) -> None:
    if is_hopeless or job.attempts > len(_PAUSES_SECONDS):
        _end(job, Job.State.FAILED, error)
        return
    pause = timedelta(seconds=_PAUSES_SECONDS[job.attempts - 1])
    _held(job).update(
        state=Job.State.WAITING,
        error=error,
        lease=None,
        lease_until=None,
        not_before=timezone.now() + pause,
    )


def _end(job: Job, state: Job.State, error: str = "") -> None:
    _held(job).update(
        state=state, error=error, lease=None, lease_until=None, ended_at=timezone.now()
    )


def _held(job: Job) -> Any:
    return Job.objects.filter(pk=job.pk, lease=job.lease)


def _move(job_id: UUID, of: tuple[Job.State, ...], to: Job.State) -> bool:
    ended_at = timezone.now() if to is Job.State.CANCELLED else None
    forgotten = {"error": ""} if to is Job.State.WAITING else {}
    with transaction.atomic():
        return bool(
            Job.objects.filter(pk=job_id, state__in=of).update(
                state=to,
                lease=None,
                lease_until=None,
                attempts=0,
                not_before=timezone.now(),
                ended_at=ended_at,
                **forgotten,
            )
        )
