from __future__ import annotations

import math
from uuid import UUID

from accounts.principals.principal import Principal, Scheme
from llm_proxy.virtual_keys.grants import grant_for


def caller(user_id: UUID, api_key_id: UUID | None = None) -> Principal:
    """Return the principal of a user, or of an API key of theirs."""
    return Principal(
        user_id=user_id,
        email="",
        is_anonymous=False,
        scheme=Scheme.API_KEY if api_key_id else Scheme.SUPABASE,
        expires_at=math.inf,
        api_key_id=api_key_id,
    )


async def credential_for(principal: Principal) -> str:
    """Return the Authorization header that the calls of a principal go out with."""
    return (await grant_for(principal)).authorization
