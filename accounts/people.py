"""Whom a command names."""

from __future__ import annotations

from uuid import UUID

from accounts.models import User
from accounts.supabase import client


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
        found = set(User.objects.filter(email__iexact=text).values_list("pk", flat=True))
    if client.can_administer():
        found |= {user.id for user in client.find_users(text)}
    return found
