"""The verification of a token, in order: form, key, signature, claims."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from accounts.tokens.claims import Claims, read_claims
from accounts.tokens.jwks import SigningKey, shared_key
from accounts.tokens.jws import Header, open_signed, read_header
from accounts.tokens.policy import SHARED_ALGORITHM
from accounts.tokens.reasons import Reason, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accounts.tokens.policy import TokenPolicy
    from accounts.tokens.store import JwksStore


class TokenVerifier:
    """Verifies access tokens under one policy.

    Args:
        policy: what is accepted.
        store: the published keys; None where a project signs with a shared secret only.
        clock: Unix seconds.

    Raises:
        ValueError: a shared secret is too short.
    """

    def __init__(
        self,
        *,
        policy: TokenPolicy,
        store: JwksStore | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.policy = policy
        self.store = store
        self._clock = clock
        self._shared = tuple(shared_key(secret) for secret in policy.secrets)

    def verify(self, token: bytes) -> Claims:
        """Return the claims of a token. Blocks while keys are fetched.

        Raises:
            TokenRejected: the token proves nothing here.
            KeysUnavailable: it can't be said now, since the key server does not answer.
        """
        header = read_header(token)
        store = self._store_for(header)
        keys = self._shared if store is None else _only(store.find(header.kid))
        return self._prove(token, header, keys)

    async def averify(self, token: bytes) -> Claims:
        """Return and raise as ``verify`` does, without blocking the event loop."""
        header = read_header(token)
        store = self._store_for(header)
        keys = self._shared if store is None else _only(await store.afind(header.kid))
        return self._prove(token, header, keys)

    def trusts(self, key: SigningKey) -> bool:
        """Say whether a key that proved a token before would still be accepted. Never waits."""
        return self.store.trusts(key) if key.kid and self.store else key in self._shared

    def _store_for(self, header: Header) -> JwksStore | None:
        """Return where the key of this token is published, None if a shared secret must prove it.

        Raises:
            TokenRejected: neither may.
        """
        if header.algorithm == SHARED_ALGORITHM and self._shared:
            return None
        if self.store is None or header.algorithm not in self.policy.algorithms:
            raise refuse(Reason.ALGORITHM)
        if not header.kid:
            raise refuse(Reason.KEY_UNKNOWN)
        return self.store

    def _prove(self, token: bytes, header: Header, keys: Sequence[SigningKey]) -> Claims:
        for key in keys:
            payload = open_signed(token, header, key)
            if payload is not None:
                return read_claims(payload, key, self.policy, self._clock())
        raise refuse(Reason.SIGNATURE)


def _only(key: SigningKey | None) -> tuple[SigningKey]:
    if key is None:
        raise refuse(Reason.KEY_UNKNOWN)
    return (key,)
