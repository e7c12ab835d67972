"""What an agent secret proves, when it is sent in place of an access token."""

from __future__ import annotations

import math
from typing import Final

from accounts.models import User
from accounts.principals.principal import Principal, Proof, Scheme
from gateway_core.errors import TokenRejected
from llm_proxy.agent_proxy.secrets import claim_of
from llm_proxy.agent_proxy.services import version_for

# Of the one route that it opens.
SCOPE: Final = "agents"

_REFUSED: Final = "This is no agent secret that is in force."


def prove(token: bytes) -> Proof:
    """Return what a secret proves; queries the database for none that was made up.

    Raises:
        TokenRejected: it is none, or not any more.
    """
    claim = claim_of(token)
    if claim is None or claim.version != version_for(claim.user_id):
        raise TokenRejected(_REFUSED)
    user = User.objects.filter(pk=claim.user_id).first()
    if user is None:
        raise TokenRejected(_REFUSED)
    principal = Principal(
        user_id=user.pk,
        email=user.email,
        is_anonymous=user.is_anonymous_user,
        scheme=Scheme.AGENT,
        expires_at=math.inf,
        scopes=frozenset({SCOPE}),
    )
    return Proof(principal=principal, is_suspended=not user.is_active)
