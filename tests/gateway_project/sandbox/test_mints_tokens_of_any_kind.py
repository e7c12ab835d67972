from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from gateway_project.sandbox.supabase import LEGACY_SECRET
from tests.conftest import RunningSupabase


def _jwks(supabase: RunningSupabase) -> dict[str, Any]:
    keys = supabase.client.get("/auth/v1/.well-known/jwks.json").json()["keys"]
    return {key["kid"]: jwt.PyJWK.from_dict(key) for key in keys}


def _verify(supabase: RunningSupabase, token: str) -> dict[str, Any]:
    header = jwt.get_unverified_header(token)
    key = _jwks(supabase)[header["kid"]]
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=[header["alg"]], audience="authenticated"
    )
    return claims


def test_gives_the_same_user_the_same_id(supabase: RunningSupabase) -> None:
    first = _verify(supabase, supabase.token("a@example.com"))
    second = _verify(supabase, supabase.token("A@example.com"))
    assert first["sub"] == second["sub"]
    assert first["session_id"] != second["session_id"]
    assert first["iss"] == f"{supabase.url}/auth/v1"


def test_overrides_and_removes_claims(supabase: RunningSupabase) -> None:
    token = supabase.token("a@example.com", role="service_role", session_id=None)
    claims = _verify(supabase, token)
    assert claims["role"] == "service_role"
    assert "session_id" not in claims


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_rotates_to_a_key_of_another_kind(supabase: RunningSupabase, alg: str) -> None:
    before = supabase.token()
    supabase.client.post("/_sandbox/keys", json={"alg": alg})
    after = supabase.token()
    assert jwt.get_unverified_header(after)["alg"] == alg
    assert _verify(supabase, before)["sub"] == _verify(supabase, after)["sub"]


def test_publishes_a_standby_key_without_signing_with_it(supabase: RunningSupabase) -> None:
    answer = supabase.client.post("/_sandbox/keys", json={"alg": "ES256", "state": "standby"})
    assert answer.json()["kid"] in _jwks(supabase)
    assert jwt.get_unverified_header(supabase.token())["kid"] != answer.json()["kid"]


def test_revokes_a_key(supabase: RunningSupabase) -> None:
    token = supabase.token()
    kid = jwt.get_unverified_header(token)["kid"]
    supabase.client.post("/_sandbox/keys", json={"alg": "ES256"})
    supabase.client.delete(f"/_sandbox/keys/{kid}")
    assert kid not in _jwks(supabase)


def test_signs_with_the_legacy_secret(supabase: RunningSupabase) -> None:
    token = supabase.mint(email="a@example.com", alg="HS256")["access_token"]
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    jwt.decode(token, LEGACY_SECRET, algorithms=["HS256"], audience="authenticated")


def test_leaves_a_token_unsigned(supabase: RunningSupabase) -> None:
    token = supabase.mint(email="a@example.com", alg="none")["access_token"]
    assert token.endswith(".")
    assert jwt.get_unverified_header(token)["alg"] == "none"


def test_takes_any_header(supabase: RunningSupabase) -> None:
    wish = {"kid": "../../etc/passwd", "typ": None, "jku": "https://evil.example.com"}
    token = supabase.mint(email="a@example.com", header=wish)["access_token"]
    header = jwt.get_unverified_header(token)
    assert (header["kid"], header["jku"]) == ("../../etc/passwd", "https://evil.example.com")
    assert "typ" not in header


def test_shifts_its_clock(supabase: RunningSupabase) -> None:
    supabase.client.post("/_sandbox/clock", json={"offset": -7200})
    token = supabase.token()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] < time.time() - 3000


def test_returns_to_its_first_key_when_reset(supabase: RunningSupabase) -> None:
    before = set(_jwks(supabase))
    supabase.client.post("/_sandbox/keys", json={"alg": "ES256"})
    supabase.reset()
    assert set(_jwks(supabase)) == before
