"""Nothing that is encrypted is forgotten when encryption keys are rotated."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db.models import TextField
from django.test import override_settings

from accounts.models import User
from agents.models import Agent
from agents.variables import all_variables, set_variables
from gateway_core import encrypted

OLD, NEW = "11" * 32, "33" * 32


def test_knows_every_column_that_holds_encrypted_texts() -> None:
    found = {
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, TextField) and field.name.startswith("encrypted")
    }
    assert {(column.model, column.column) for column in encrypted._columns.values()} == found


@pytest.mark.django_db
def test_encrypts_agents_variables_anew() -> None:
    agent = Agent(user=User.objects.create(username="alice"), agent_id="agent-1")
    set_variables(agent, {"token": "s3cret", "plain": 1}, frozenset({"token"}))
    agent.save()
    with override_settings(ENCRYPTION_KEYS=(NEW, OLD)):
        call_command("rotate_encryption")
    with override_settings(ENCRYPTION_KEYS=(NEW,)):
        agent.refresh_from_db()
        assert all_variables(agent) == {"token": "s3cret", "plain": 1}
        assert encrypted.find_fault() is None
