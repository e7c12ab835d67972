"""Project Wycheproof's JSON Web Signature vectors, where the file is at hand, and a few of ours.

The file (401 vectors, Apache-2.0) is not part of this project: it is read from the path in
``WYCHEPROOF_JWS``, or from where the ``shared`` folder beside the checkout has it.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from accounts.tokens.jwks import SigningKey, parse_jwks, shared_key
from accounts.tokens.jws import open_signed, read_header
from gateway_core.errors import TokenRejected
from tests.accounts.mint import SECRET, new_signer, shared_token

# Its number, the token, the key, and whether it is labelled valid.
Vector: TypeAlias = tuple[int, object, SigningKey | None, bool]

BESIDE = Path(__file__).resolve().parents[4] / "shared" / "reference" / "wycheproof-jws.json"

# Byte for byte the valid vector 357, and yet labelled invalid.
NOT_TO_BE_TOLD_APART = {367, 370}
# Labelled valid, and refused on purpose: the token names another algorithm than its key (346, 347,
# 350, 351, against RFC 8725 §3.1), or holds a character that is not base64url (372, 373).
STRICTER = {346, 347, 350, 351, 372, 373}


def is_accepted(token: object, key: SigningKey | None) -> bool:
    if key is None or not isinstance(token, str):
        return False
    try:
        raw = token.encode()
        return open_signed(raw, read_header(raw), key) is not None
    except TokenRejected:
        return False


def key_of(members: dict[str, Any]) -> SigningKey | None:
    if members["kty"] == "oct":
        padding = "=" * (-len(members["k"]) % 4)
        return shared_key(urlsafe_b64decode(members["k"] + padding))
    return parse_jwks(orjson.dumps({"keys": [members]})).get(members["kid"])


def vectors() -> list[Vector]:
    """Return the public vectors; none without the file."""
    path = Path(os.environ.get("WYCHEPROOF_JWS") or BESIDE)
    if not path.exists():
        return []
    return [
        (test["tcId"], test["jws"], key_of(group.get("public") or group["private"]), label)
        for group in json.loads(path.read_text())["testGroups"]
        for test in group["tests"]
        for label in [test["result"] == "valid"]
    ]


def own_vectors() -> list[Vector]:
    signers = [new_signer(name) for name in ("ES256", "RS256", "PS256", "EdDSA")]
    good = [(signer.token().decode(), signer.key) for signer in signers]
    good.append((shared_token().decode(), shared_key(SECRET.encode())))
    bad = [(token, good[index - 1][1]) for index, (token, _) in enumerate(good)]
    bad += [(token[:-8] + "AAAAAAA" + token[-1], key) for token, key in good]
    return [
        *((-1, token, key, True) for token, key in good),
        *((-2, token, key, False) for token, key in bad),
    ]


def test_agrees_with_every_vector_but_those_that_nobody_should() -> None:
    public = vectors()
    disagreed = {
        number
        for number, token, key, label in public + own_vectors()
        if is_accepted(token, key) is not label
    }
    assert disagreed == (NOT_TO_BE_TOLD_APART | STRICTER if public else set())
    assert len(public) in (0, 401)
