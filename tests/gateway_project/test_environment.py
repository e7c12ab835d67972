from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from gateway_project import environment


def test_takes_a_secret_as_it_is_when_it_begins_with_a_dollar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_SECRET", "$HOME-is-not-meant")

    assert environment.secret("A_SECRET") == "$HOME-is-not-meant"


def test_takes_an_empty_variable_for_an_absent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_NAME", "  ")

    assert environment.text("A_NAME", "default") == "default"
    assert environment.words("A_NAME", "a, b") == ("a", "b")
    assert environment.integer("A_NAME", 7) == 7
    assert environment.boolean("A_NAME", default=True) is True


def test_reads_a_secret_from_the_file_that_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_text("from a file\n", encoding="utf-8")
    monkeypatch.setenv("A_SECRET_FILE", str(path))

    assert environment.secret("A_SECRET") == "from a file"


def test_refuses_a_secret_that_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "one")
    monkeypatch.setenv("A_SECRET_FILE", "/nowhere")

    with pytest.raises(ImproperlyConfigured, match="Both A_SECRET and A_SECRET_FILE"):
        environment.secret("A_SECRET")


def test_refuses_a_secret_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_FILE", "/nowhere/at/all")

    with pytest.raises(ImproperlyConfigured, match="A_SECRET_FILE can't be read"):
        environment.secret("A_SECRET")


@pytest.mark.parametrize("value", ["maybe", "2", "tru"])
def test_refuses_a_boolean_that_is_neither(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("A_SWITCH", value)

    with pytest.raises(ImproperlyConfigured, match="A_SWITCH"):
        environment.boolean("A_SWITCH", default=False)


@pytest.mark.parametrize("value", ["-1", "many", "nan", "inf"])
def test_refuses_what_is_not_a_number_above_zero(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("A_NUMBER", value)

    with pytest.raises(ImproperlyConfigured, match="A_NUMBER"):
        environment.number("A_NUMBER", 1)


def test_refuses_a_fraction_where_a_whole_number_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_NUMBER", "1.5")

    with pytest.raises(ImproperlyConfigured, match="whole number"):
        environment.integer("A_NUMBER", 1)
