"""The rules that the gateway comes with."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

import pytest
from django.apps import apps

from letta_proxy.models import AccessRule
from letta_proxy.rules.coverage import covered
from letta_proxy.rules.models import Effect

pytestmark = pytest.mark.django_db
_MIGRATION = cast("Any", import_module("letta_proxy.migrations.0003_shipped_access_rules"))


def test_each_is_one_that_staff_could_have_made() -> None:
    rules = list(AccessRule.objects.all())

    assert len(rules) == len(_MIGRATION.SHIPPED)
    for rule in rules:
        rule.full_clean()
        assert rule.updated_by is None
        assert covered(rule.method, rule.path_pattern)


def test_denies_registered_users_nothing() -> None:
    denials = AccessRule.objects.filter(effect=Effect.DENY, is_active=True)

    assert denials
    assert set(denials.values_list("role", flat=True)) == {"anonymous"}


def test_leaves_with_its_migration_and_comes_back() -> None:
    edited = AccessRule.objects.all()[0]
    edited.is_active = not edited.is_active
    edited.save()
    AccessRule.objects.create(effect="deny", path_pattern="/blocks", reason="staff's own")

    _MIGRATION.remove(apps, None)
    left = set(AccessRule.objects.values_list("path_pattern", flat=True))
    _MIGRATION.add(apps, None)

    assert left == {"/blocks", edited.path_pattern}
    assert AccessRule.objects.count() == len(_MIGRATION.SHIPPED) + 2
