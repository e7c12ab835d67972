"""The attacks of RFC 8725, of public advisories, and what else a liar may try."""

from __future__ import annotations

import dataclasses
import hmac
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accounts.tokens.store import JwksStore
from accounts.tokens.verify import TokenVerifier
from gateway_core.errors import Code, TokenRejected
from tests.accounts.key_server import KeyServer
from tests.accounts.mint import (
    ABSENT,
    POLICY,
    SECRET,
    Signer,
    forge,
    new_signer,
    segment,
    user_claims,
)


@pytest.fixture
def verifier(store: JwksStore) -> TokenVerifier:
    """The most permissive verifier there can be: every algorithm, and a shared secret."""
    algorithms = frozenset({"ES256", "RS256", "RS512", "PS256", "EdDSA", "none", "None", "HS256"})
    policy = dataclasses.replace(POLICY, algorithms=algorithms, secrets=(SECRET.encode(),))
    return TokenVerifier(policy=policy, store=store)


def assert_refused(verifier: TokenVerifier, token: bytes) -> None:
    with pytest.raises(TokenRejected) as caught:
        verifier.verify(token)
    assert (caught.value.status, caught.value.code) == (401, Code.CALLER_TOKEN_INVALID)
    assert all(len(part) < 12 or part not in str(caught.value) for part in _parts(token))


def _parts(token: bytes) -> list[str]:
    return token.decode("latin-1").split(".")


def parts(token: bytes) -> tuple[bytes, bytes, bytes]:
    header, payload, signature = token.split(b".")
    return header, payload, signature


@pytest.mark.parametrize("signature", [b"", b"\0" * 64], ids=["unsigned", "zeros"])
@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", " none", None, 0, []])
def test_refuses_a_token_that_claims_to_need_no_signature(
    algorithm: object, signature: bytes, verifier: TokenVerifier, signer: Signer
) -> None:
    header = {"alg": algorithm, "typ": "JWT", "kid": signer.kid}
    assert_refused(verifier, forge(header, user_claims(), signature))


def test_refuses_a_header_without_an_algorithm(verifier: TokenVerifier, signer: Signer) -> None:
    assert_refused(verifier, signer.token(header={"alg": ABSENT}))


def _public_forms(signer: Signer) -> dict[str, bytes]:
    public = signer.private.public_key()
    return {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "pem without the last newline": public.public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        ).strip(),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": orjson.dumps(signer.jwk),
        "kid": signer.kid.encode(),
        "nothing": b"",
    }


@pytest.mark.parametrize("form", list(_public_forms(new_signer())))
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_refuses_a_published_key_used_as_a_shared_secret(
    algorithm: str, form: str, verifier: TokenVerifier, key_server: KeyServer
) -> None:
    signer = new_signer(algorithm)
    key_server.publish(signer)
    signed = segment(orjson.dumps({"alg": "HS256", "typ": "JWT", "kid": signer.kid}))
    signed += b"." + segment(orjson.dumps(user_claims()))
    digest = hmac.digest(_public_forms(signer)[form], signed, sha256)
    assert_refused(verifier, signed + b"." + segment(digest))


@pytest.mark.parametrize("algorithm", ["RS512", "PS256", "RS384"])
def test_refuses_another_algorithm_than_the_key_is_for(
    algorithm: str, verifier: TokenVerifier, key_server: KeyServer
) -> None:
    published = new_signer("RS256")
    key_server.publish(published)
    assert verifier.verify(published.token())
    assert_refused(verifier, Signer(algorithm, published.private, published.kid).token())


def test_refuses_a_token_signed_with_another_published_key(
    verifier: TokenVerifier, key_server: KeyServer
) -> None:
    one, other = new_signer(), new_signer()
    key_server.publish(one, other)
    assert verifier.verify(one.token())
    assert_refused(verifier, Signer("ES256", one.private, other.kid).token())


def test_refuses_a_key_that_nobody_published(verifier: TokenVerifier, signer: Signer) -> None:
    assert_refused(verifier, new_signer().token())
    assert_refused(verifier, new_signer(kid=signer.kid).token())


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_refuses_a_token_that_brings_its_own_key(
    name: str, verifier: TokenVerifier, signer: Signer
) -> None:
    attacker = new_signer(kid=signer.kid)
    url = "http://127.0.0.1:9/jwks.json"
    values: dict[str, Any] = {"jwk": attacker.jwk, "jku": url, "x5u": url, "x5c": ["AAAA"]}
    assert_refused(verifier, attacker.token(header={name: values[name]}))
    assert_refused(verifier, signer.token(header={name: values[name]}))


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "' OR 1=1 --",
        "a\0b",
        "k" * 201,
        "k" * 5000,
        "",
        7,
        [],
        {},
        None,
        True,
        ABSENT,
    ],
    ids=lambda kid: repr(kid)[:20],
)
def test_refuses_any_kid_but_the_key_s_own(
    kid: object, verifier: TokenVerifier, signer: Signer
) -> None:
    assert_refused(verifier, signer.token(header={"kid": kid}))


@pytest.mark.parametrize(
    "signature",
    [b"", b"\0", b"\0" * 64, b"\0" * 31 + b"\1" + b"\0" * 31 + b"\1", b"\xff" * 64, b"\0" * 2000],
    ids=["none", "one byte", "zeros", "ones", "huge numbers", "long"],
)
@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA", "HS256"])
def test_refuses_a_signature_that_is_none(
    algorithm: str, signature: bytes, verifier: TokenVerifier, key_server: KeyServer
) -> None:
    published = new_signer("ES256" if algorithm == "HS256" else algorithm)
    key_server.publish(published)
    header = {"alg": algorithm, "kid": published.kid, "typ": "JWT"}
    assert_refused(verifier, forge(header, user_claims(), signature))


def test_refuses_a_payload_under_another_token_s_signature(
    verifier: TokenVerifier, signer: Signer
) -> None:
    mine, victim = signer.token(), signer.token(email="victim@example.com")
    header, _, signature = parts(mine)
    assert_refused(verifier, b".".join((header, parts(victim)[1], signature)))


def test_refuses_a_signature_in_the_der_form(verifier: TokenVerifier, signer: Signer) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    header, payload, _ = parts(signer.token())
    der = signer.private.sign(header + b"." + payload, ec.ECDSA(SHA256()))
    assert_refused(verifier, b".".join((header, payload, segment(der))))


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"crit": "b64"},
        {"crit": ["b64"], "b64": False},
        {"crit": ["b64"], "b64": True},
        {"b64": False},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
        {"typ": "at+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": "JOSE"},
        {"typ": 7},
        {"typ": None},
    ],
    ids=str,
)
def test_refuses_a_header_that_asks_for_anything_else(
    header: dict[str, Any], verifier: TokenVerifier, signer: Signer
) -> None:
    assert_refused(verifier, signer.token(header=header))


@pytest.mark.parametrize(
    "expiry",
    [b"1e400", b"-1e400", b'"soon"', b"true", b"null", b"NaN", b"Infinity", b"[4102444800]"],
)
def test_refuses_an_expiry_that_is_not_a_time(
    expiry: bytes, verifier: TokenVerifier, signer: Signer
) -> None:
    payload = orjson.dumps(user_claims(exp=0)).replace(b'"exp":0', b'"exp":' + expiry)
    assert expiry in payload
    assert_refused(verifier, signer.sign(payload))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"\xff\xfe{}",
        b'{"sub":"\xff"}',
        orjson.dumps(user_claims()).decode().encode("utf-16"),
        b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}",
    ],
    ids=lambda payload: repr(payload[:12]),
)
def test_refuses_a_payload_that_is_not_an_object(
    payload: bytes, verifier: TokenVerifier, signer: Signer
) -> None:
    assert_refused(verifier, signer.sign(payload))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"null",
        b"[]",
        b'"ES256"',
        b"{",
        b"\xff\xfe",
        b'{"alg":"ES256","a":' + b"[" * 1500 + b"]" * 1500 + b"}",
        '{"alg":"ES256"}'.encode("utf-16"),
    ],
    ids=lambda header: repr(header[:12]),
)
def test_refuses_a_header_that_is_not_an_object(header: bytes, verifier: TokenVerifier) -> None:
    assert_refused(verifier, forge(header, user_claims()))


def padded(token: bytes) -> bytes:
    return b".".join(part + b"=" * (-len(part) % 4) for part in parts(token))


MANGLINGS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "one part": lambda token: parts(token)[0],
    "two parts": lambda token: token.rpartition(b".")[0],
    "no signature": lambda token: token.rpartition(b".")[0] + b".",
    "four parts": lambda token: token + b".AAAA",
    "five parts, as if encrypted": lambda token: token + b".AAAA.AAAA",
    "leading dot": lambda token: b"." + token,
    "padding": padded,
    "padding at the end": lambda token: token + b"==",
    "plain base64": lambda token: b".".join(b64encode(b"\xfb\xff" + part) for part in parts(token)),
    "newline": lambda token: token + b"\n",
    "blank inside": lambda token: token[:40] + b" " + token[40:],
    "NUL": lambda token: token + b"\0",
    "non-ASCII": lambda token: token[:40] + "é".encode() + token[40:],
    "wide digits": lambda token: token + "\uff11".encode(),
    "JSON form": lambda token: orjson.dumps(
        dict(
            zip(("protected", "payload", "signature"), map(bytes.decode, parts(token)), strict=True)
        )
    ),
    "in quotes": lambda token: b'"' + token + b'"',
    "a whole header": lambda token: b"Bearer " + token,
    "over 8 KiB": lambda token: token + b"A" * 8192,
    "a flipped bit": lambda token: token[:-10] + bytes([token[-10] ^ 1]) + token[-9:],
    "encoded twice": urlsafe_b64encode,
}


@pytest.mark.parametrize("name", MANGLINGS)
def test_refuses_a_good_token_that_was_mangled(
    name: str, verifier: TokenVerifier, signer: Signer
) -> None:
    token = signer.token()
    assert verifier.verify(token)
    mangled = MANGLINGS[name](token)
    assert mangled != token
    assert_refused(verifier, mangled)


def test_refuses_bits_that_a_lenient_decoder_drops(verifier: TokenVerifier, signer: Signer) -> None:
    # 64 bytes are 86 digits, of which the last one's low four bits mean nothing.
    token = signer.token()
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(token[-1:])
    for spelling in range(last + 1, last + 16):
        assert_refused(verifier, token[:-1] + alphabet[spelling : spelling + 1])


def test_reads_the_last_of_two_equal_names_as_the_signer_s_library_does(
    verifier: TokenVerifier, signer: Signer
) -> None:
    payload = orjson.dumps(user_claims())[:-1] + b',"role":"service_role"}'
    assert_refused(verifier, signer.sign(payload))
