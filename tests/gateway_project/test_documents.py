"""What the documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).resolve().parents[2]
_DOCUMENTS = sorted([*_CHECKOUT.glob("*.md"), *(_CHECKOUT / "docs").glob("*.md")])
# Of Letta, of prometheus-client, and an example.
_OF_OTHERS = {
    "LETTA_NO_DEFAULT_ACTOR",
    "LETTA_SERVER_SECURE",
    "LETTA_SERVER_PASSWORD",
    "OPENAI_API_KEY",
    "PROMETHEUS_MULTIPROC_DIR",
    "NAME_FILE",
}


def _name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", _DOCUMENTS, ids=_name)
def test_names_variables_that_there_are(path: Path) -> None:
    known = re.findall(
        r"^([A-Z][A-Z0-9_]*)=", (_CHECKOUT / "env.example").read_text("utf-8"), re.MULTILINE
    )

    named = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", path.read_text("utf-8")))

    assert named - set(known) - _OF_OTHERS == set()


@pytest.mark.parametrize("path", _DOCUMENTS, ids=_name)
def test_links_to_files_that_there_are(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text("utf-8"))

    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", _DOCUMENTS, ids=_name)
def test_names_commands_that_make_knows(path: Path) -> None:
    known = re.findall(r"^([a-z-]+):", (_CHECKOUT / "Makefile").read_text("utf-8"), re.MULTILINE)

    named = set(re.findall(r"`make ([a-z-]+)", path.read_text("utf-8")))

    assert named <= set(known)


@pytest.mark.parametrize("name", ["README.md", "README.ru.md"])
def test_begins_with_the_two_commands(name: str) -> None:
    _title, _empty, run, test, *_ = (_CHECKOUT / name).read_text("utf-8").splitlines()

    assert run.startswith("    make run")
    assert test.startswith("    make test")


@pytest.mark.parametrize("name", ["README.md", "docs/LOGGING.md"])
def test_says_as_much_in_russian_as_in_english(name: str) -> None:
    english = _CHECKOUT / name

    assert _shape(english.with_suffix(".ru.md")) == _shape(english)


def _shape(path: Path) -> list[str]:
    """Return what of each line is the same in every language: its kind, a row's first name."""
    lines = re.findall(r"^(#+ |\|(?: `[^\s`]+)?|- |```)", path.read_text("utf-8"), re.MULTILINE)
    return [str(line) for line in lines]
