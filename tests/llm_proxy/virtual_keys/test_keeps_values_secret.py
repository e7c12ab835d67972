"""A virtual key's value is in no log line, error, representation or report of one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from uuid import UUID

import pytest
from django.test import RequestFactory
from django.views.debug import ExceptionReporter
from django.views.decorators.debug import sensitive_variables
from pytest_django import Settings

from gateway_core.http import UpstreamClient
from llm_proxy.models import VirtualKey
from llm_proxy.virtual_keys import grants, making
from tests.conftest import Running
from tests.llm_proxy.virtual_keys.callers import caller

UseKey = Callable[..., str]


def test_a_grant_does_not_show_its_credential(alice: UUID, use_key: UseKey) -> None:
    value = use_key(alice).removeprefix("Bearer ")
    grant = grants._grants.get((alice, None))
    assert grant is not None
    assert value in grant.authorization
    assert value not in repr(grant) + str(grant) + f"{caller(alice)!r}"


@pytest.mark.parametrize("status", [400, 401, 422, 500])
def test_no_log_line_repeats_what_litellm_says_of_a_key(
    alice: UUID,
    use_key: UseKey,
    litellm: Running,
    capfd: pytest.CaptureFixture[str],
    status: int,
) -> None:
    VirtualKey.objects.managed(alice)
    value = VirtualKey.objects.get().value()
    said = {"error": {"message": f"Key {value} is wrong", "type": "x", "param": None}}
    litellm.fault("^/key/generate$", status=status, body=said)
    with pytest.raises(Exception, match="upstream_") as caught:
        use_key(alice)
    assert value not in str(caught.value) + repr(caught.value)
    printed = "".join(capfd.readouterr())
    assert value not in printed


def test_no_report_of_an_error_shows_a_value(
    alice: UUID, use_key: UseKey, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Django mails it to administrators, with the variables of each function."""
    settings.DEBUG = False
    VirtualKey.objects.managed(alice)
    reports: list[str] = []

    @sensitive_variables()
    async def fail(
        _client: object, _method: str, target: str, **_members: object
    ) -> tuple[int, object]:
        if target != "/key/generate":
            return 200, {}
        raise OSError("no way there")

    monkeypatch.setattr(UpstreamClient, "fetch", fail)
    try:
        use_key(alice)
    except OSError:
        request = RequestFactory().get("/")
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.append(reporter.get_traceback_html() + reporter.get_traceback_text())
    assert "no way there" in reports[0]
    assert "in generate_key" in reports[0]
    assert VirtualKey.objects.get().value() not in reports[0]


def test_an_unreadable_key_is_logged_by_its_id_alone(
    alice: UUID,
    use_key: UseKey,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    key = VirtualKey.objects.managed(alice)
    settings.ENCRYPTION_KEYS = ("33" * 32,)
    lines: list[dict[str, object]] = []

    class Log:
        def error(self, event: str, **facts: object) -> None:
            lines.append({"event": event, **facts})

    monkeypatch.setattr(making, "_log", Log())
    with pytest.raises(Exception, match="gateway_internal_error"):
        use_key(alice)
    (line,) = lines
    assert line["virtual_key_id"] == str(key.pk)
    assert key.encrypted_value not in str(line) + caplog.text
