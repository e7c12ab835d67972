from __future__ import annotations

import jwt
import pytest

from accounts.supabase.keys import KeyKind, kind_of

SECRET = "a-shared-secret-of-a-legacy-project-0001"


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("sb_publishable_1234567890123456789012_12345678", KeyKind.PUBLISHABLE),
        ("sb_secret_1234567890123456789012_12345678", KeyKind.SECRET),
        (jwt.encode({"role": "anon"}, SECRET), KeyKind.PUBLISHABLE),
        (jwt.encode({"role": "service_role", "exp": 1}, SECRET), KeyKind.SECRET),
        (jwt.encode({"role": "authenticated"}, SECRET), KeyKind.UNKNOWN),
        (jwt.encode({}, SECRET), KeyKind.UNKNOWN),
        ("a.b.c", KeyKind.UNKNOWN),
        ("sk-1234", KeyKind.UNKNOWN),
        ("", KeyKind.UNKNOWN),
    ],
)
def test_tells_by_its_form_what_a_key_is_for(key: str, kind: KeyKind) -> None:
    assert kind_of(key) is kind
