from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import User
from letta_proxy.models import AccessRule
from letta_proxy.rules import services

MakeRule = Callable[..., AccessRule]


@pytest.fixture
def root(db: None) -> User:
    del db
    return User.objects.create_superuser("root", "a good pass phrase", email="root@example.com")


@pytest.fixture
def make_rule(root: User) -> MakeRule:
    """Make a rule as staff do. Those that come with the gateway are there too."""

    def make(method: str, path_pattern: str, **fields: Any) -> AccessRule:
        values = {"effect": "deny", "reason": "a secret reason", **fields}
        rule = AccessRule(method=method, path_pattern=path_pattern, **values)
        services.save_rule(rule=rule, by=root)
        return rule

    return make
