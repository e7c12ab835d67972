"""Keys that prove signatures, each bound to one algorithm, and the reading of a JWKS document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import jwt
import orjson
from jwt.utils import base64url_encode

from accounts.tokens.policy import SHARED_ALGORITHM, SHARED_SECRET_MIN_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

KID_MAX_LENGTH: Final = 200
_RSA_MIN_BITS: Final = 2048
_KINDS: Final = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
# What a key without "alg" is for.
_USUAL: Final[dict[tuple[str, str | None], str]] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("EC", "P-384"): "ES384",
    ("EC", "P-521"): "ES512",
    ("OKP", "Ed25519"): "EdDSA",
}
_PUBLIC_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e")


class JwksUnreadable(Exception):
    """The document is not a JWKS. An empty set is one: a project that signs with HS256 has it."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key and the only algorithm it is used with. ``kid`` is empty for a shared secret."""

    kid: str
    algorithm: str
    material: bytes = field(repr=False)
    jwk: jwt.PyJWK = field(repr=False, compare=False)


def shared_key(secret: bytes) -> SigningKey:
    """Return the HS256 key of a shared secret.

    Raises:
        ValueError: the secret is shorter than RFC 7518 §3.2 demands.
    """
    if len(secret) < SHARED_SECRET_MIN_BYTES:
        raise ValueError(f"A shared secret must have at least {SHARED_SECRET_MIN_BYTES} bytes.")
    members = {"kty": "oct", "k": base64url_encode(secret).decode()}
    return SigningKey("", SHARED_ALGORITHM, secret, jwt.PyJWK(members, SHARED_ALGORITHM))


def parse_jwks(document: bytes) -> dict[str, SigningKey]:
    """Return the usable keys of a JWKS by their ``kid``.

    Left out: symmetric keys, keys without a kid, of an unknown kind, not meant for verifying, RSA
    under 2048 bits; and every key of a kid that occurs twice, since nobody can say which is meant.

    Raises:
        JwksUnreadable: the document is not a JWKS.
    """
    keys: dict[str, SigningKey] = {}
    ambiguous = set()
    for members in _entries(document):
        kid = members.get("kid")
        if not isinstance(kid, str) or not 0 < len(kid) <= KID_MAX_LENGTH:
            continue
        if kid in keys or kid in ambiguous:
            ambiguous.add(kid)
            keys.pop(kid, None)
        elif (key := _public_key(kid, members)) is not None:
            keys[kid] = key
    return keys


def _entries(document: bytes) -> list[dict[str, Any]]:
    try:
        entries = orjson.loads(document)["keys"]
    except (ValueError, TypeError, KeyError) as exc:
        raise JwksUnreadable("no JSON object with a list of keys") from exc
    if not isinstance(entries, list):
        raise JwksUnreadable("keys is not a list")
    return [entry for entry in entries if isinstance(entry, dict)]


def _public_key(kid: str, members: Mapping[str, Any]) -> SigningKey | None:
    algorithm = _algorithm(members)
    if algorithm is None or not _is_for_verifying(members):
        return None
    public = {name: members[name] for name in _PUBLIC_MEMBERS if name in members}
    try:
        jwk = jwt.PyJWK(public, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if members["kty"] == "RSA" and jwk.key.key_size < _RSA_MIN_BITS:
        return None
    material = orjson.dumps(public, option=orjson.OPT_SORT_KEYS)
    return SigningKey(kid, algorithm, material, jwk)


def _algorithm(members: Mapping[str, Any]) -> str | None:
    kind, curve = members.get("kty"), members.get("crv")
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return None
    algorithm = members.get("alg", _USUAL.get((kind, curve)))
    if not isinstance(algorithm, str) or _KINDS.get(algorithm) != (kind, curve):
        return None
    return algorithm


def _is_for_verifying(members: Mapping[str, Any]) -> bool:
    if members.get("use", "sig") != "sig":
        return False
    operations = members.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations
