from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from accounts.models import User
from gateway_core.errors import CountExhausted, GatewayError, ResourceConflict
from templates_app.models import Template, TemplateVersion
from templates_app.services import deprecate_version, make_latest
from tests.templates_app.conftest import publish

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Make calls in a thread each, begun together; return what they return or raise."""
    ready = threading.Barrier(len(calls))

    def make(call: Callable[[], Any]) -> Any:
        ready.wait(10)
        try:
            return call()
        except GatewayError as exc:
            return exc
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(make, calls))


@pytest.mark.parametrize("is_new", [True, False])
def test_takes_one_of_two_that_publish_the_same_version(is_new: bool, alice: User) -> None:  # noqa: FBT001
    if not is_new:
        publish(alice, "0.9.0")
    results = at_once(*[lambda: publish(alice)] * 4)

    refused = [result for result in results if isinstance(result, ResourceConflict)]
    assert len(refused) == 3
    assert all("published already" in error.detail for error in refused)
    assert Template.objects.count() == 1
    assert TemplateVersion.objects.filter(version="1.0.0").count() == 1


def test_has_one_latest_version_whoever_comes_first(alice: User) -> None:
    template_id = publish(alice, "1.0.0").template_id
    publish(alice, "1.1.0")
    at_once(
        lambda: publish(alice, "1.2.0"),
        lambda: publish(alice, "1.3.0"),
        lambda: make_latest(by=alice, template_id=template_id, version="1.0.0"),
        lambda: deprecate_version(by=alice, template_id=template_id, version="1.1.0"),
    )

    (latest,) = TemplateVersion.objects.filter(is_latest=True)
    assert latest.deprecated_at is None


@override_settings(MAX_TEMPLATES_PER_USER=2)
def test_counts_templates_that_are_begun_together(alice: User) -> None:
    results = at_once(*[lambda name=name: publish(alice, name=name) for name in "abcd"])

    assert sum(isinstance(result, CountExhausted) for result in results) == 2
    assert Template.objects.count() == 2
