from __future__ import annotations

import pytest
from django.test import override_settings

from templates_app.checks import check_template_limits


def test_finds_nothing_wrong_with_the_defaults() -> None:
    assert check_template_limits() == []


@pytest.mark.parametrize(
    "name", ["MAX_TEMPLATE_BYTES", "MAX_TEMPLATES_PER_USER", "MAX_VERSIONS_PER_TEMPLATE"]
)
def test_wants_limits_that_let_something_through(name: str) -> None:
    with override_settings(**{name: 0}):
        (error,) = check_template_limits()

    assert error.id == "templates_app.E001"
    assert name in error.msg


def test_wants_bundles_that_can_hold_a_template() -> None:
    with override_settings(MAX_BUNDLE_BYTES=1000):
        (error,) = check_template_limits()

    assert error.id == "templates_app.E002"
