"""What Supabase Auth's answers mean: its error codes, once, as errors of ours."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from gateway_core.errors import (
    FIRST_SERVER_ERROR,
    UpstreamAnswerInvalid,
    UpstreamCredentialRejected,
    UpstreamFailed,
    UpstreamOverloaded,
)

if TYPE_CHECKING:
    from gateway_core.errors import UpstreamError
    from gateway_core.rest import RestAnswer

_UNAUTHORIZED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
# What Auth calls it; the API gateway before it gives no code.
_BAD_KEY: Final = frozenset({"", "no_authorization", "bad_jwt", "not_admin"})


class TokenState(StrEnum):
    """What Supabase says of a user's token; the value is its error code, empty when it is good."""

    GOOD = ""
    SESSION_ENDED = "session_not_found"
    ACCOUNT_GONE = "user_not_found"
    BANNED = "user_banned"
    TOKEN_REFUSED = "bad_jwt"  # noqa: S105 - an error code


_REFUSALS: Final = {state.value: state for state in TokenState if state.value}


def read_state(answer: RestAnswer) -> TokenState:
    """Return what an answer to a call in the name of a user says of their token."""
    refusal = _REFUSALS.get(_error_code(answer))
    if refusal is not None:
        return refusal
    good(answer)
    return TokenState.GOOD


def is_not_there(answer: RestAnswer) -> bool:
    """Say whether this is Auth's own 404: any other could be about the address, not the user."""
    is_404 = answer.status == HTTPStatus.NOT_FOUND
    return is_404 and _error_code(answer) == TokenState.ACCOUNT_GONE


def good(answer: RestAnswer) -> RestAnswer:
    """Return an answer that is a success; raise what any other means."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return answer
    raise _meaning(answer)


def _meaning(answer: RestAnswer) -> UpstreamError:
    code = _error_code(answer)
    if answer.status in _UNAUTHORIZED and code in _BAD_KEY:
        return UpstreamCredentialRejected()
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return UpstreamOverloaded(
            "The sign-in service asks to slow down. Repeat the request later.",
            retry_after=_seconds(answer.headers.get("retry-after", "")),
        )
    if answer.status >= FIRST_SERVER_ERROR or code:
        # The request is the gateway's own: whatever is wrong with it is not the caller's.
        return UpstreamFailed()
    return UpstreamAnswerInvalid()  # whatever answers there, it is not Supabase Auth


def _error_code(answer: RestAnswer) -> str:
    """Return Auth's own error code: ``error_code`` beside a number, or ``code`` in new answers."""
    if answer.status < HTTPStatus.BAD_REQUEST:
        return ""
    named = answer.headers.get("x-sb-error-code")
    if named:
        return str(named)
    try:
        body = answer.json()
    except UpstreamAnswerInvalid:
        return ""
    codes = (body.get("error_code"), body.get("code")) if isinstance(body, dict) else ()
    return next((code for code in codes if isinstance(code, str)), "")


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else 5.0
