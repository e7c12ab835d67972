from __future__ import annotations

from typing import Any

import orjson
import pytest
from jwt.algorithms import RSAAlgorithm

from accounts.tokens.jwks import JwksUnreadable, parse_jwks, shared_key
from tests.accounts.mint import Signer, jwks, new_signer, rsa_key


def document(*keys: Any) -> bytes:
    return orjson.dumps({"keys": keys})


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "RS256", "PS512", "EdDSA"])
def test_reads_each_kind_of_key(algorithm: str) -> None:
    signer = new_signer(algorithm)
    key = parse_jwks(jwks(signer))[signer.kid]
    assert (key.kid, key.algorithm) == (signer.kid, algorithm)


def test_reads_an_empty_set_which_a_legacy_project_publishes() -> None:
    assert parse_jwks(document()) == {}


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_takes_the_usual_algorithm_when_a_key_names_none(algorithm: str) -> None:
    signer = new_signer(algorithm)
    members = {name: value for name, value in signer.jwk.items() if name != "alg"}
    assert parse_jwks(document(members))[signer.kid].algorithm == algorithm


@pytest.mark.parametrize(
    "change",
    [
        {"kid": None},
        {"kid": ""},
        {"kid": 7},
        {"kid": "k" * 201},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": "ES384"},
        {"alg": ["ES256"]},
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "HS256"},
        {"kty": "RSA"},
        {"kty": {"EC": 1}},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"x": "AAAA"},
        {"x": 7},
        {"y": b"not on the curve".hex()},
        {"use": "enc"},
        {"use": None},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
    ],
    ids=str,
)
def test_leaves_out_a_key_that_can_not_be_meant(change: dict[str, Any]) -> None:
    good = new_signer()
    assert list(parse_jwks(document({**new_signer().jwk, **change}, good.jwk))) == [good.kid]


def test_leaves_out_members_that_are_no_keys() -> None:
    good = new_signer()
    assert list(parse_jwks(document(None, 7, "key", [], {}, good.jwk))) == [good.kid]


def test_leaves_out_rsa_keys_that_are_too_short() -> None:
    short = RSAAlgorithm.to_jwk(rsa_key(1024).public_key(), as_dict=True)
    assert parse_jwks(document({**short, "kid": "short", "alg": "RS256"})) == {}


@pytest.mark.parametrize("times", [2, 3])
def test_leaves_out_every_key_of_a_kid_that_is_not_unique(times: int) -> None:
    doubles = [new_signer(kid="double") for _ in range(times)]
    good = new_signer()
    assert list(parse_jwks(jwks(*doubles, good))) == [good.kid]


def test_takes_only_the_public_half_of_a_key_published_by_mistake() -> None:
    private = RSAAlgorithm.to_jwk(rsa_key(), as_dict=True) | {"kid": "k", "key_ops": ["verify"]}
    key = parse_jwks(document(private))["k"]
    assert not hasattr(key.jwk.key, "private_numbers")
    assert b'"d"' not in key.material


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"[]",
        b"null",
        b'"keys"',
        b"{}",
        b'{"keys":{}}',
        b'{"keys":null}',
        b'{"keys":[}',
        b"\xff\xfe",
        b'{"keys":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
    ids=lambda content: content[:20],
)
def test_refuses_what_is_not_a_jwks(content: bytes) -> None:
    with pytest.raises(JwksUnreadable):
        parse_jwks(content)


def test_refuses_a_shared_secret_that_can_be_guessed() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        shared_key(b"x" * 31)


def test_shows_no_key_material_when_printed() -> None:
    secret = b"do-not-print-this-secret-anywhere!!"
    assert b"print" not in repr(shared_key(secret)).encode()
    signer: Signer = new_signer()
    assert signer.jwk["x"] not in repr(signer.key)
