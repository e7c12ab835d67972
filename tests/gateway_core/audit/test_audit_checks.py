from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_core.audit.checks import spool_directory_is_writable

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
