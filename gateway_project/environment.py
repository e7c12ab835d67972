"""Typed reading of environment variables; secrets also from the file that ``NAME_FILE`` names.

An empty variable is an absent one: that is what a compose file makes of a name that nobody set.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from gateway_core.rates.quota import quota

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def text(name: str, default: str = "") -> str:
    """Return a variable's text without surrounding blanks.

    Read as it is: ``environ.Env.str`` would take a secret that begins with ``$`` for a reference.
    """
    return os.environ.get(name, "").strip() or default


def secret(name: str, default: str = "") -> str:
    """Return a secret from ``NAME`` or from the file that ``NAME_FILE`` names.

    Raises:
        ImproperlyConfigured: both are set, or the file can't be read.
    """
    path = text(f"{name}_FILE")
    if not path:
        return text(name, default)
    if os.environ.get(name):
        raise ImproperlyConfigured(f"Both {name} and {name}_FILE are set. Keep one of them.")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise ImproperlyConfigured(f"{name}_FILE can't be read: {exc.strerror}") from exc


def boolean(name: str, *, default: bool) -> bool:
    """Return a strict boolean.

    Raises:
        ImproperlyConfigured: it is neither one of 1/true/yes/on nor one of 0/false/no/off.
    """
    value = text(name).lower()
    if not value:
        return default
    if value not in _TRUE | _FALSE:
        raise ImproperlyConfigured(f"{name} is {value!r}. Write true or false.")
    return value in _TRUE


def number(name: str, default: float) -> float:
    """Return a non-negative number.

    Raises:
        ImproperlyConfigured: it is not a number, or it is negative.
    """
    value = text(name)
    if not value:
        return float(default)
    try:
        result = float(value)
    except ValueError:
        result = -1
    if not 0 <= result < float("inf"):
        raise ImproperlyConfigured(f"{name} is {value!r}. Write a number that is not negative.")
    return result


def integer(name: str, default: int) -> int:
    """Return a non-negative whole number; raises as ``number`` does."""
    result = number(name, default)
    if result != int(result):
        raise ImproperlyConfigured(f"{name} is {result}. Write a whole number.")
    return int(result)


def rate(name: str, default: str) -> str:
    """Return a limit of requests in the form that ``gateway_core.rates.quota`` reads.

    Raises:
        ImproperlyConfigured: it is not of that form.
    """
    form = text(name, default)
    try:
        quota(name, form)
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name} is {form!r}. {exc}") from exc
    return form


def words(name: str, default: str = "") -> tuple[str, ...]:
    """Return the comma-separated words of a variable."""
    return tuple(word.strip() for word in text(name, default).split(",") if word.strip())


def secrets(name: str) -> tuple[str, ...]:
    """Return the comma-separated values of a secret, the newest first."""
    return tuple(word.strip() for word in secret(name).split(",") if word.strip())
