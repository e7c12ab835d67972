from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.contrib.auth.models import Permission
from rest_framework.test import APIClient

from accounts.models import User
from accounts.principals.principal import Principal, Scheme
from templates_app.models import Template, TemplateVersion, Visibility
from templates_app.permissions import CHANGE, DELETE, PUBLISH, VIEW
from templates_app.services import Bundle, Place, export_template, publish_version
from tests.templates_app.files import agent_file, as_json


def _user(name: str, **traits: Any) -> User:
    return User.objects.create(email=f"{name}@example.com", password="!", **traits)


@pytest.fixture
def alice(db: None) -> User:
    del db
    return _user("alice")


@pytest.fixture
def bob(db: None) -> User:
    del db
    return _user("bob")


@pytest.fixture
def staff(db: None) -> User:
    """Return somebody who may do everything with templates, and is no superuser."""
    del db
    return with_permissions(_user("staff", is_staff=True), VIEW, CHANGE, DELETE, PUBLISH)


def with_permissions(user: User, *permissions: str) -> User:
    names = [permission.split(".")[1] for permission in permissions]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


@pytest.fixture
def signed_in(settings: Any) -> Callable[[User], APIClient]:
    """Sign somebody in to the API, without a token that Supabase could be asked about."""
    settings.SESSION_POLICY = "off"

    def sign_in(user: User) -> APIClient:
        client = APIClient()
        principal = Principal(
            user_id=user.pk,
            email=user.email,
            is_anonymous=False,
            scheme=Scheme.SUPABASE,
            expires_at=math.inf,
            session_id=uuid4(),
        )
        client.force_authenticate(user, principal)  # type: ignore[arg-type]
        return client

    return sign_in


@pytest.fixture
def as_alice(signed_in: Callable[[User], APIClient], alice: User) -> APIClient:
    return signed_in(alice)


@pytest.fixture
def as_bob(signed_in: Callable[[User], APIClient], bob: User) -> APIClient:
    return signed_in(bob)


@pytest.fixture
def as_staff(signed_in: Callable[[User], APIClient], staff: User) -> APIClient:
    return signed_in(staff)


def publish(
    by: User | None, version: str = "1.0.0", name: str = "helper", **sections: Any
) -> TemplateVersion:
    """Publish a private version of somebody's, or a public one of the product's."""
    visibility = Visibility.PRIVATE if by else Visibility.PUBLIC
    content = as_json(agent_file(name, version, **sections))
    return publish_version(place=Place(by=by, visibility=visibility), content=content)


def exported(template: Template) -> Bundle:
    """Return what an export of a template holds."""
    bundle: Bundle = orjson.loads(b"".join(export_template(template)))
    return bundle


def faults(answer: Any) -> dict[str, str]:
    """Return what an answer says is wrong, by pointer."""
    return {fault["pointer"]: fault["message"] for fault in answer.json()["errors"]}
