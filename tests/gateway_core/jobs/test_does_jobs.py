from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from gateway_core.errors import ResourceNotFound, UpstreamUnreachable
from gateway_core.jobs import services
from gateway_core.jobs.models import Job
from gateway_core.jobs.services import LEASE, Progress, ask_for, register, work_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(services, "_workers", {})
    yield
    Job.objects.all().delete()


def job_with(work: Callable[[Progress], None], **wish: Any) -> Job:
    register("test", work)
    return ask_for("test", subject="somebody", wish=wish)


def test_does_what_was_asked_for_and_keeps_what_came_of_it() -> None:
    def work(progress: Progress) -> None:
        progress.note(done=1, total=2, first=progress.job.wish["n"])
        progress.note(done=2, second=True)

    job = job_with(work, n=7)
    assert work_once()
    job.refresh_from_db()
    assert (job.state, job.done, job.total) == (Job.State.DONE, 2, 2)
    assert job.result == {"first": 7, "second": True}
    assert not work_once()


def test_goes_on_where_a_process_died() -> None:
    class Killed(BaseException):
        pass

    seen: list[dict[str, Any]] = []

    def work(progress: Progress) -> None:
        seen.append(dict(progress.job.result))
        if not progress.job.result:
            progress.note(step_one="done")
            raise Killed

    job = job_with(work)
    with pytest.raises(Killed):
        work_once()
    assert not work_once()  # somebody may still be at it
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert work_once()
    job.refresh_from_db()
    assert job.state == Job.State.DONE
    assert seen == [{}, {"step_one": "done"}]


def test_takes_no_word_of_a_worker_whose_lease_is_lost() -> None:
    def work(progress: Progress) -> None:
        Job.objects.update(lease_until=timezone.now() - LEASE)
        taken = Job.objects.claim(["test"], timezone.now(), LEASE)
        assert taken
        progress.note(done=1)

    job = job_with(work)
    assert work_once()
    job.refresh_from_db()
    assert (job.state, job.done) == (Job.State.WORKING, 0)


def test_tries_again_later_when_an_upstream_is_away() -> None:
    def work(_: Progress) -> None:
        raise UpstreamUnreachable

    job = job_with(work)
    assert work_once()
    assert not work_once()
    job.refresh_from_db()
    assert job.state == Job.State.WAITING
    assert job.not_before > timezone.now()
    assert "can't be reached" in job.error


def test_gives_up_on_what_can_t_go_better_and_after_some_attempts() -> None:
    def hopeless(_: Progress) -> None:
        raise ResourceNotFound

    def broken(_: Progress) -> None:
        raise ValueError("secret")

    first = job_with(hopeless)
    work_once()
    first.refresh_from_db()
    assert first.state == Job.State.FAILED
    second = job_with(broken)
    for _ in range(5):
        Job.objects.update(not_before=timezone.now())
        assert work_once()
    second.refresh_from_db()
    assert (second.state, second.error) == (Job.State.FAILED, "ValueError")
    assert services.resume(second.pk)
    assert work_once()


def test_stops_where_it_is_paused_and_goes_on_when_resumed() -> None:
    def work(progress: Progress) -> None:
        for number in range(progress.job.done + 1, 4):
            progress.note(done=number)
            if number == 2 and "was paused" not in progress.job.result:
                progress.note(**{"was paused": True})
                assert services.pause(progress.job.pk)

    job = job_with(work)
    assert work_once()
    assert not work_once()
    job.refresh_from_db()
    assert (job.state, job.done) == (Job.State.PAUSED, 2)
    assert services.resume(job.pk)
    call_command("run_jobs", "--until-done")
    job.refresh_from_db()
    assert (job.state, job.done) == (Job.State.DONE, 3)


def test_ends_what_is_cancelled() -> None:
    job = job_with(lambda _: None)
    assert services.cancel(job.pk)
    assert not work_once()
    assert services.unfinished("test", "somebody") is None


def test_is_done_once_by_many_workers() -> None:
    done: list[str] = []
    register("test", lambda progress: done.append(progress.job.subject))
    for number in range(20):
        ask_for("test", subject=str(number))

    def work() -> None:
        while work_once():
            pass
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done, key=int) == [str(number) for number in range(20)]
