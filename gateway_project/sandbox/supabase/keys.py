"""Keys that tokens are signed with, and the JWKS that shows their public halves.

States of a key, as on the platform: ``in_use`` signs, ``standby`` is published and does not sign
yet, ``previously_used`` is published and does not sign any more. A revoked key is gone.
"""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

_PUBLIC_MEMBERS: Final = {"kty", "crv", "x", "y", "n", "e"}


def new_key(alg: str, state: str) -> dict[str, Any]:
    """Return a fresh key: ``{"kid", "alg", "state", "pem"}``.

    Args:
        alg: ES256, RS256 or EdDSA.
        state: in_use, standby or previously_used.
    """
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    match alg:
        case "ES256":
            private = ec.generate_private_key(ec.SECP256R1())
        case "RS256":
            private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "EdDSA":
            private = ed25519.Ed25519PrivateKey.generate()
        case _:
            raise ValueError(f"no keys for {alg}")
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {"kid": str(uuid.uuid4()), "alg": alg, "state": state, "pem": pem.decode()}


def sign(claims: dict[str, Any], header: dict[str, Any], key: str, alg: str) -> str:
    """Return a signed token; ``none`` gives an empty signature.

    Args:
        claims: the payload as it is to be, however wrong.
        header: members on top of ``alg`` and ``typ``; null removes one.
        key: PEM of a private key, or a shared secret for HS algorithms.
        alg: any algorithm that PyJWT knows.
    """
    header = {"alg": alg, "typ": "JWT", **header}
    header = {name: value for name, value in header.items() if value is not None}
    message = f"{_encode(header)}.{_encode(claims)}"
    algorithm = jwt.get_algorithm_by_name(alg)
    # Not jwt.encode: it refuses the malformed tokens that tests need.
    secret = algorithm.prepare_key(key or None)
    signature = algorithm.sign(message.encode(), secret)
    return f"{message}.{_base64(signature)}"


def public_jwk(key: dict[str, Any]) -> dict[str, Any]:
    """Return the key as it stands in the JWKS."""
    private = serialization.load_pem_private_key(key["pem"].encode(), password=None)
    algorithm: Any = jwt.get_algorithm_by_name(key["alg"])
    members = json.loads(algorithm.to_jwk(private.public_key()))
    public = {name: value for name, value in members.items() if name in _PUBLIC_MEMBERS}
    return public | {"kid": key["kid"], "alg": key["alg"], "use": "sig", "key_ops": ["verify"]}


def _encode(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
