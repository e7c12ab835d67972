from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from gateway_core import crypto
from gateway_core.crypto import SecretBox, SecretUnreadable, key_id, parse_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import Settings

ROW = "llm_proxy.virtualkey:7"
OLD, NEW, FOREIGN = (bytes([n]) * 32 for n in (1, 2, 3))
URLSAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

texts = st.text(max_size=80)


@given(texts, texts)
def test_an_encrypted_text_opens_again_in_its_row(text: str, row: str) -> None:
    box = SecretBox((NEW,))
    assert box.decrypt(box.encrypt(text, row), row) == text


@given(texts, texts, texts)
def test_a_token_does_not_open_in_another_row(text: str, row: str, other: str) -> None:
    box = SecretBox((NEW,))
    token = box.encrypt(text, row)
    if other != row:
        with pytest.raises(SecretUnreadable):
            box.decrypt(token, other)


@given(st.data(), texts)
def test_a_token_with_any_one_character_changed_does_not_open(
    data: st.DataObject, text: str
) -> None:
    box = SecretBox((NEW,))
    token = box.encrypt(text, ROW)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(URLSAFE.replace(token[place], "")))
    with pytest.raises(SecretUnreadable):
        box.decrypt(token[:place] + other + token[place + 1 :], ROW)


@given(st.text())
def test_no_other_text_opens(text: str) -> None:
    with pytest.raises(SecretUnreadable):
        SecretBox((NEW,)).decrypt(text, ROW)


def test_a_token_names_its_version_and_key_and_not_its_text() -> None:
    token = SecretBox((NEW, OLD)).encrypt("sk-secret", ROW)
    version, key, encrypted = token.split(".")
    assert (version, key) == ("v1", key_id(NEW))
    assert b"sk-secret" not in base64.urlsafe_b64decode(encrypted + "==")


def test_the_same_text_never_has_the_same_token() -> None:
    box = SecretBox((NEW,))
    assert box.encrypt("a", ROW) != box.encrypt("a", ROW)


def test_older_keys_still_open_what_they_encrypted() -> None:
    token = SecretBox((OLD,)).encrypt("kept", ROW)
    assert SecretBox((NEW, OLD)).decrypt(token, ROW) == "kept"


def test_a_key_that_is_not_in_the_list_is_named_by_its_id_alone() -> None:
    token = SecretBox((FOREIGN,)).encrypt("kept", ROW)
    with pytest.raises(SecretUnreadable) as caught:
        SecretBox((NEW, OLD)).decrypt(token, ROW)
    assert key_id(FOREIGN) in caught.value.reason
    assert caught.value.detail == SecretUnreadable.detail


@pytest.mark.parametrize(
    "write",
    [
        bytes.hex,
        lambda key: base64.b64encode(key).decode(),
        lambda key: base64.urlsafe_b64encode(key).decode(),
        lambda key: base64.urlsafe_b64encode(key).decode().rstrip("="),
    ],
)
def test_keys_are_read_from_hexadecimal_and_either_base64(write: Callable[[bytes], str]) -> None:
    key = bytes.fromhex("fb" * 16 + "ff" * 16)
    assert parse_key(write(key)) == key


@pytest.mark.parametrize("text", ["", "short", "not base64!" * 4, "00" * 31, "00" * 33])
def test_what_is_not_32_bytes_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match="it "):
        parse_key(text)


def test_settings_choose_the_keys(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = (OLD.hex(),)
    token = crypto.encrypt("kept", ROW)
    settings.ENCRYPTION_KEYS = (NEW.hex(), OLD.hex())
    assert crypto.decrypt(token, ROW) == "kept"
    assert crypto.encrypt("new", ROW).split(".")[1] == key_id(NEW)


def test_development_derives_a_key_from_the_secret_key(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = ()
    settings.IS_PRODUCTION = False
    token = crypto.encrypt("kept", ROW)
    assert crypto.decrypt(token, ROW) == "kept"
    settings.SECRET_KEY = "another"
    with pytest.raises(SecretUnreadable):
        crypto.decrypt(token, ROW)


def test_production_has_no_default_key(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = ()
    settings.IS_PRODUCTION = True
    with pytest.raises(ImproperlyConfigured):
        crypto.encrypt("kept", ROW)


def test_a_malformed_key_is_named_without_being_shown(settings: Settings) -> None:
    written = os.urandom(16).hex()
    settings.ENCRYPTION_KEYS = (written,)
    with pytest.raises(ImproperlyConfigured) as caught:
        crypto.encrypt("kept", ROW)
    assert written not in str(caught.value)
