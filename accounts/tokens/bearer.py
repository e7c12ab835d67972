"""The Authorization header (RFC 6750 §2.1)."""

from __future__ import annotations

from accounts.tokens.reasons import Reason, refuse


def bearer_token(authorization: bytes | None) -> bytes:
    """Return the token of an Authorization header, whatever kind of token it is.

    Raises:
        TokenRejected: there is no header, or it is not ``Bearer <token>``.
    """
    if not authorization:
        raise refuse(Reason.MISSING)
    token = authorization[7:].strip()
    if authorization[:7].lower() != b"bearer " or not token or b" " in token:
        raise refuse(Reason.HEADER_MALFORMED)
    return token
