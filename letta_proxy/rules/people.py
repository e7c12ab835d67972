"""Finding the user that staff mean."""

from __future__ import annotations

from uuid import UUID

from accounts.models import User


def find_user(term: str) -> User:
    """Return the user of a whole e-mail address or id.

    Raises:
        User.DoesNotExist: there is none.
        User.MultipleObjectsReturned: an e-mail address may belong to several.
    """
    try:
        user_id = UUID(term)
    except ValueError:
        return User.objects.get(email__in={term, term.lower()})
    return User.objects.get(pk=user_id)
