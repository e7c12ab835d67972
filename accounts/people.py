"""Whom staff and commands name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from accounts.models import User
from accounts.supabase import client

if TYPE_CHECKING:
    from django.db.models import QuerySet


def users_named(text: str) -> QuerySet[User]:
    """Return the users here of an id or a whole e-mail address, which may belong to several.

    Addresses are in lower case here as at Supabase, but for those of staff who were made by hand.
    """
    try:
        return User.objects.filter(pk=UUID(text))
    except ValueError:
        return User.objects.filter(email__in={text, text.lower()})


def ids_named(text: str) -> set[UUID]:
    """Return who is meant by an id or an e-mail address; whether there is such an id is not asked.

    An address is looked for here and at Supabase: here it may be one that its user has given up,
    and who has never been here may have it.

    Raises:
        UpstreamError: Supabase does not say.
    """
    try:
        return {UUID(text)}
    except ValueError:
        found = set(users_named(text).values_list("pk", flat=True))
    if client.can_administer():
        found |= {user.id for user in client.find_users(text)}
    return found
