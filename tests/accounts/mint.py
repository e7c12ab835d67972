"""Keys and tokens as Supabase Auth makes them, and as an attacker would."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import uuid4

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from accounts.tokens.jwks import SigningKey, parse_jwks
from accounts.tokens.policy import TokenPolicy

ISSUER = "https://project.supabase.test/auth/v1"
SECRET = "a-shared-secret-of-a-legacy-project-0001"
POLICY = TokenPolicy(issuers=frozenset({ISSUER}))
ABSENT = object()


@dataclass(frozen=True)
class Signer:
    """A key pair of the sign-in service."""

    algorithm: str
    private: Any
    kid: str = field(default_factory=lambda: str(uuid4()))

    @property
    def jwk(self) -> dict[str, Any]:
        kinds: dict[str, Any] = {"E": ECAlgorithm, "R": RSAAlgorithm, "P": RSAAlgorithm}
        kind = OKPAlgorithm if self.algorithm == "EdDSA" else kinds[self.algorithm[0]]
        public = kind.to_jwk(self.private.public_key(), as_dict=True)
        return {
            **public,
            "alg": self.algorithm,
            "kid": self.kid,
            "use": "sig",
            "key_ops": ["verify"],
        }

    @property
    def key(self) -> SigningKey:
        return parse_jwks(jwks(self))[self.kid]

    def token(self, *, header: dict[str, Any] | None = None, **claims: Any) -> bytes:
        """Sign a real user's claims, changed by ``claims``; ``ABSENT`` takes one out."""
        return self.sign(user_claims(**claims), header=header)

    def sign(self, payload: Any, *, header: dict[str, Any] | None = None) -> bytes:
        """Sign any JSON value, or bytes as they are, under any header."""
        content = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        members = {"alg": self.algorithm, "kid": self.kid, "typ": "JWT", **(header or {})}
        members = {name: value for name, value in members.items() if value is not ABSENT}
        signed = segment(orjson.dumps(members)) + b"." + segment(content)
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        return signed + b"." + segment(algorithm.sign(signed, self.private))


def user_claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a token of Supabase Auth 2.196."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": str(uuid4()),
        "aud": "authenticated",
        "exp": now + 3600,
        "iat": now,
        "email": "alice@example.com",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {"email_verified": True, "is_staff": True},
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": now}],
        "session_id": str(uuid4()),
        "is_anonymous": False,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ABSENT}


def shared_token(
    secret: str = SECRET, *, header: dict[str, Any] | None = None, **claims: Any
) -> bytes:
    """Sign a user's claims as a legacy project does: HS256, no kid."""
    return jwt.encode(user_claims(**claims), secret, "HS256", headers=header).encode()


def forge(header: Any, payload: Any, signature: bytes = b"\0" * 64) -> bytes:
    """Put a token together from whatever it is to be made of."""
    parts = (part if isinstance(part, bytes) else orjson.dumps(part) for part in (header, payload))
    return b".".join(segment(part) for part in (*parts, signature))


def segment(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


def jwks(*signers: Signer) -> bytes:
    """Return the JWKS document of these keys."""
    return orjson.dumps({"keys": [signer.jwk for signer in signers]})


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def new_signer(algorithm: str = "ES256", **fields: Any) -> Signer:
    """Return a fresh key pair; RSA keys are made once, for they are slow to make."""
    makers = {
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }
    return Signer(algorithm, makers.get(algorithm, rsa_key)(), **fields)
