"""Why a token is refused, in words that tell the caller what to do. None repeats token content."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from django.conf import settings

from gateway_core.errors import Code, TokenRejected

if TYPE_CHECKING:
    from datetime import datetime

# Of users who may not go on, whatever their token.
BANNED: Final = "The sign-in service has banned this account. Contact support."


class Reason(StrEnum):
    """The closed set of reasons; the value is the detail of the 401 answer (ASCII, no quotes)."""

    MISSING = (
        "This request carries no token. Send the header Authorization: Bearer <access token>, "
        "with the access_token of a Supabase session."
    )
    MISSING_ON_WEBSOCKET = (
        "This connection carries no token. Offer the subprotocols gateway.v1 and "
        "bearer.<access token>."
    )
    HEADER_MALFORMED = (
        "The Authorization header is not of the form Bearer <access token>. "
        "Send the scheme, one space and the token."
    )
    SUPABASE_KEY = (
        "This is a Supabase API key, which names an application and no user. "
        "Send the access_token of a signed-in user."
    )
    TOO_LONG = "The token is longer than 8 KiB. Keep custom claims small, then sign in again."
    NOT_A_TOKEN = (
        "This is not a JSON web token in compact form. "  # noqa: S105 - a reason
        "Send the access_token of a Supabase session."
    )
    HEADER_UNSUPPORTED = (
        "The header of the token is not one that Supabase Auth writes. "
        "Send the access_token of a Supabase session."
    )
    ALGORITHM = (
        "The token is signed with an algorithm that is not accepted here. "
        "Sign in again, or have SUPABASE_ALGORITHMS and SUPABASE_JWT_SECRET checked."
    )
    KEY_UNKNOWN = (
        "The token is signed with a key that the sign-in service does not publish. Sign in again."
    )
    SIGNATURE = "The signature of the token does not match. Sign in again."
    CLAIMS_MALFORMED = "A claim of the token is missing or of the wrong type. Sign in again."
    EXPIRED = "The token has expired. Refresh the session and repeat the request."
    NOT_YET_VALID = "The token is not valid yet. Check the clocks of the servers."
    LIFETIME = "The token is valid for longer than is accepted here. Sign in again."
    AUDIENCE = "The token is meant for another audience. Sign in at the application again."
    ISSUER = "The token was issued by another sign-in service. Sign in at this application."
    ROLE = "The role of the token is not one of a signed-in user. Sign in again."
    ANONYMOUS = "Anonymous sign-ins are not accepted here. Sign in with an account."
    OAUTH_CLIENT = (
        "Tokens issued to third-party OAuth clients are not accepted here. "
        "Sign in at the application itself."
    )
    SESSION_ENDED = "This session was signed out or ended. Sign in again."
    REFUSED_AT_SOURCE = (
        "The sign-in service takes this token no longer. "
        "Refresh the session and repeat the request."
    )
    ACCOUNT_GONE = "The account of this token no longer exists. Sign in again."


_CODES = {
    Reason.MISSING: Code.CALLER_TOKEN_MISSING,
    Reason.MISSING_ON_WEBSOCKET: Code.CALLER_TOKEN_MISSING,
    Reason.EXPIRED: Code.CALLER_TOKEN_EXPIRED,
    Reason.SESSION_ENDED: Code.CALLER_TOKEN_REVOKED,
    Reason.ACCOUNT_GONE: Code.CALLER_TOKEN_REVOKED,
}


def refuse_erased(until: datetime | None) -> TokenRejected:
    """Return the error to raise for somebody who was erased here, not that they sign in again.

    Args:
        until: when the last token from before is over, and the account may begin anew; None for
            never.
    """
    if settings.ERASE_SUPABASE_USERS:
        then = "Its sign-in is erased with it. Sign up for another account."
    elif until is None:
        then = "Contact support to use it again."
    else:
        # The next whole minute: then it is over for certain.
        when = until + timedelta(minutes=1)
        then = f"It can be used anew, with nothing in it, from {when:%Y-%m-%d %H:%M} UTC."
    return TokenRejected(f"This account was erased. {then}", code=Code.CALLER_TOKEN_REVOKED)


def refuse(reason: Reason) -> TokenRejected:
    """Return the error to raise for a reason."""
    return TokenRejected(reason, code=_CODES.get(reason, Code.CALLER_TOKEN_INVALID))
