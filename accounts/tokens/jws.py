"""The signed envelope: reading the header of a compact JWS and proving its signature."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt
import orjson

from accounts.tokens.jwks import KID_MAX_LENGTH
from accounts.tokens.reasons import Reason, refuse

if TYPE_CHECKING:
    from accounts.tokens.jwks import SigningKey

TOKEN_MAX_BYTES: Final = 8 * 1024
# No padding, no blanks, nothing that a lenient decoder would skip (RFC 7515 §2).
_COMPACT: Final = re.compile(rb"([\w-]+)\.[\w-]*\.[\w-]+", re.ASCII).fullmatch
# GoTrue writes alg, kid and typ. x5t and the like are harmless; these change how to verify, or
# offer a key to verify with (RFC 7515 §4.1.2-4.1.5, §4.1.11; RFC 7797).
_UNSUPPORTED: Final = frozenset({"crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "enc"})
_jws = jwt.PyJWS()


@dataclass(frozen=True, slots=True)
class Header:
    """What a token says of itself before anything is proved. ``kid`` is empty when absent."""

    algorithm: str
    kid: str


def read_header(token: bytes) -> Header:
    """Return the header of a compact JWS.

    Raises:
        TokenRejected: it is too long, not a compact JWS, or its header asks for something else
            than a plain signature.
    """
    if token.startswith(b"sb_"):
        raise refuse(Reason.SUPABASE_KEY)
    if len(token) > TOKEN_MAX_BYTES:
        raise refuse(Reason.TOO_LONG)
    match = _COMPACT(token)
    if match is None:
        raise refuse(Reason.NOT_A_TOKEN)
    members = _json_object(match[1])
    algorithm, kid, kind = members.get("alg"), members.get("kid", ""), members.get("typ", "JWT")
    if (
        isinstance(algorithm, str)
        and isinstance(kid, str)
        and len(kid) <= KID_MAX_LENGTH
        and isinstance(kind, str)
        and kind.upper() == "JWT"
        and _UNSUPPORTED.isdisjoint(members)
    ):
        return Header(algorithm, kid)
    raise refuse(Reason.HEADER_UNSUPPORTED)


def open_signed(token: bytes, header: Header, key: SigningKey) -> bytes | None:
    """Return the payload that this key signed, None when it did not.

    Raises:
        TokenRejected: the key is for another algorithm than the header names.
    """
    if header.algorithm != key.algorithm:
        raise refuse(Reason.ALGORITHM)
    try:
        payload: bytes = _jws.decode(token, key.jwk, algorithms=[key.algorithm])
    except jwt.PyJWTError:
        return None
    return payload


def _json_object(segment: bytes) -> dict[str, Any]:
    try:
        members = orjson.loads(urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)))
    except ValueError as exc:
        raise refuse(Reason.NOT_A_TOKEN) from exc
    if not isinstance(members, dict):
        raise refuse(Reason.NOT_A_TOKEN)
    return members
