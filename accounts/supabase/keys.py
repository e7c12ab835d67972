"""The two forms of Supabase's API keys, told apart by what they are for."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import jwt

_LEGACY_ROLES: Final = {"anon": "publishable", "service_role": "secret"}


class KeyKind(StrEnum):
    """What a key opens."""

    PUBLISHABLE = "publishable"
    SECRET = "secret"  # noqa: S105 - not one
    UNKNOWN = "unknown"


def kind_of(key: str) -> KeyKind:
    """Return what an API key is for, as far as its form tells; nothing is proved.

    New keys are ``sb_publishable_…`` and ``sb_secret_…``; legacy ones are JWTs that name a role.
    """
    for kind in (KeyKind.PUBLISHABLE, KeyKind.SECRET):
        if key.startswith(f"sb_{kind}_"):
            return kind
    try:
        claims = jwt.decode(key, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return KeyKind.UNKNOWN
    return KeyKind(_LEGACY_ROLES.get(str(claims.get("role")), KeyKind.UNKNOWN))
