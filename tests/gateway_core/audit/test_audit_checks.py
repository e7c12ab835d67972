from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway_core.audit.checks import signing_keys_are_good, spool_directory_is_writable

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django import Settings


def test_accepts_a_directory_that_is_there_or_can_be_made(
    settings: Settings, tmp_path: Path
) -> None:
    for directory in (tmp_path, tmp_path / "not" / "yet"):
        settings.AUDIT_SPOOL_DIR = directory
        assert spool_directory_is_writable() == []


def test_warns_of_a_place_where_no_directory_can_be(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.AUDIT_SPOOL_DIR = tmp_path / "file" / "spool"

    (warning,) = spool_directory_is_writable()

    assert warning.id == "audit.W001"
    assert "AUDIT_SPOOL_DIR" in (warning.hint or "")


def test_accepts_good_keys_and_none_outside_production(settings: Settings) -> None:
    settings.AUDIT_SIGNING_KEYS = ()
    assert signing_keys_are_good() == []
    settings.IS_PRODUCTION = True
    settings.AUDIT_SIGNING_KEYS = ("ab" * 32, "CD" * 32)
    settings.AUDIT_PUBLIC_KEYS = ("ef" * 32,)
    assert signing_keys_are_good() == []


def test_wants_a_key_in_production(settings: Settings) -> None:
    settings.IS_PRODUCTION = True
    settings.AUDIT_SIGNING_KEYS = ()

    (error,) = signing_keys_are_good()

    assert error.id == "audit.E001"
    assert "openssl" in (error.hint or "")


@pytest.mark.parametrize("name", ["AUDIT_SIGNING_KEYS", "AUDIT_PUBLIC_KEYS"])
def test_finds_what_is_no_key(name: str, settings: Settings) -> None:
    for text in ("ab", "x" * 64, "ab" * 33):
        setattr(settings, name, ("ab" * 32, text))
        (error,) = signing_keys_are_good()
        assert error.id == "audit.E002"
