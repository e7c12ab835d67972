from __future__ import annotations

import io
from typing import Any

import pytest
from django.test import override_settings
from rest_framework import serializers

from gateway_core.errors import BodyTooLarge, RequestMalformed
from gateway_core.intake import JSONParser, StrictSerializer


def parse(content: bytes) -> Any:
    return JSONParser().parse(io.BytesIO(content))


def test_reads_json() -> None:
    assert parse(b'{"a": [1, 2.5, null, "\xc3\xa9"]}') == {"a": [1, 2.5, None, "é"]}
    assert parse(b"[" * 32 + b"]" * 32)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"NaN",
        b'{"a": "\xff"}',
        b"[" * 33 + b"]" * 33,
        b"[" * 500_000,
        b'"\\ud800"',
        b'{"a": 1, "a": 2}',
    ],
)
def test_refuses_what_is_no_json_or_nested_too_deeply(content: bytes) -> None:
    with pytest.raises(RequestMalformed):
        parse(content)


@override_settings(MAX_JSON_BYTES=10)
def test_refuses_what_is_too_large() -> None:
    assert parse(b'"12345678"') == "12345678"
    with pytest.raises(BodyTooLarge):
        parse(b'"123456789"')


def test_refuses_fields_that_it_does_not_heed() -> None:
    class Wish(StrictSerializer):
        name = serializers.CharField()
        made = serializers.CharField(read_only=True)

    for others in ({"nmae": "x"}, {"made": "now"}):
        wish = Wish(data={"name": "a", **others})
        assert not wish.is_valid()
        assert set(wish.errors) == set(others)
