from __future__ import annotations

import socket
from collections.abc import Iterator
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.checks import Error
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from pytest_django import Settings

from accounts.models import User
from gateway_core import crypto
from gateway_core.crypto import SecretUnreadable, key_id
from gateway_core.encrypted import find_fault, keys_in_use, reencrypt, stored_secrets_fault
from llm_proxy.models import VirtualKey
from llm_proxy.virtual_keys.checks import check_encrypted_values

pytestmark = pytest.mark.django_db
OLD, NEW, OTHER = ("11" * 32, "22" * 32, "33" * 32)
OLD_ID, NEW_ID, OTHER_ID = (key_id(bytes.fromhex(key)) for key in (OLD, NEW, OTHER))


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


def reconnect(**settings_of_database: Any) -> None:
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    connection.settings_dict.update(settings_of_database)


def new_key() -> VirtualKey:
    return VirtualKey.objects.managed(User.objects.create(pk=uuid4()).pk)


@pytest.fixture
def keys(settings: Settings) -> list[VirtualKey]:
    """Seven keys encrypted under the old encryption key, and the new one in front of it."""
    settings.ENCRYPTION_KEYS = (OLD,)
    keys = [new_key() for _ in range(7)]
    settings.ENCRYPTION_KEYS = (NEW, OLD)
    return keys


def rotate(*options: str) -> list[str]:
    out = StringIO()
    call_command("rotate_encryption", *options, stdout=out)
    return out.getvalue().splitlines()


def values() -> dict[object, str]:
    return {key.pk: key.value() for key in VirtualKey.objects.all()}


@pytest.mark.parametrize("size", ["1", "3", "7", "500"])
def test_puts_everything_under_the_newest_key(keys: list[VirtualKey], size: str) -> None:
    before = values()
    assert len(before) == len(keys)
    assert keys_in_use() == {OLD_ID: 7}
    assert rotate("--batch-size", size) == [
        f"{NEW_ID}  7  newest",
        "7 reencrypted, 0 unreadable, 0 written by others meanwhile",
    ]
    assert values() == before
    assert keys_in_use() == {NEW_ID: 7}


def test_the_older_key_may_go_afterwards(keys: list[VirtualKey], settings: Settings) -> None:
    before = values()
    assert len(before) == len(keys)
    rotate()
    settings.ENCRYPTION_KEYS = (NEW,)
    assert values() == before
    assert find_fault() is None


@pytest.mark.usefixtures("keys")
def test_a_dry_run_only_counts() -> None:
    before = list(VirtualKey.objects.values())
    assert rotate("--dry-run") == [
        f"{OLD_ID}  7",
        "7 would be reencrypted, 0 unreadable, 0 written by others meanwhile",
    ]
    assert list(VirtualKey.objects.values()) == before


@pytest.mark.usefixtures("keys")
def test_can_be_run_again() -> None:
    rotate()
    before = list(VirtualKey.objects.values())
    assert rotate()[-1].startswith("0 reencrypted")
    assert list(VirtualKey.objects.values()) == before


def test_what_can_not_be_opened_stays_as_it_is(settings: Settings, keys: list[VirtualKey]) -> None:
    settings.ENCRYPTION_KEYS = (OTHER,)
    lost = new_key()
    settings.ENCRYPTION_KEYS = (NEW, OLD)
    moved = keys[0]
    VirtualKey.objects.filter(pk=moved.pk).update(encrypted_value=keys[1].encrypted_value)
    out = StringIO()
    with pytest.raises(CommandError, match="stay as they are: 2"):
        call_command("rotate_encryption", stdout=out)
    assert f"{OTHER_ID}  1  not in ENCRYPTION_KEYS" in out.getvalue()
    assert "6 reencrypted, 2 unreadable" in out.getvalue()
    kept = dict(VirtualKey.objects.values_list("pk", "encrypted_value"))
    assert (kept[lost.pk], kept[moved.pk]) == (lost.encrypted_value, keys[1].encrypted_value)


def test_does_not_overwrite_what_somebody_writes_meanwhile(
    keys: list[VirtualKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    decrypt = crypto.decrypt

    def slowly(token: str, bound_to: str) -> str:
        opened = decrypt(token, bound_to)
        VirtualKey.objects.filter(encrypted_value=token).update(encrypted_value="somebody else's")
        return opened

    monkeypatch.setattr(crypto, "decrypt", slowly)
    done = reencrypt(batch_size=2, is_dry_run=False, show=lambda _done, _total: None)
    assert (done.reencrypted.total(), done.passed_over) == (0, len(keys))
    assert set(VirtualKey.objects.values_list("encrypted_value", flat=True)) == {"somebody else's"}


def test_no_value_is_printed(keys: list[VirtualKey]) -> None:
    printed = "\n".join(rotate())
    assert not [key for key in keys if key.value() in printed or key.encrypted_value in printed]


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(CommandError):
        rotate("--batch-size", "0")


# What replicas have before and after each restart of a change.
@pytest.mark.parametrize(
    ("before", "after"), [((OLD,), (OLD, NEW)), ((OLD, NEW), (NEW, OLD)), ((NEW, OLD), (NEW,))]
)
def test_replicas_read_each_others_while_the_encryption_key_is_changed(
    settings: Settings, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    for one, other in ((before, after), (after, before)):
        settings.ENCRYPTION_KEYS = one
        key = new_key()
        settings.ENCRYPTION_KEYS = other
        assert key.value()


@pytest.mark.usefixtures("keys")
def test_all_is_well_when_every_key_is_known() -> None:
    new_key()
    assert find_fault() is None
    assert check_encrypted_values(databases=["default"]) == []


@pytest.mark.usefixtures("keys")
def test_a_key_that_is_missing_is_found_and_named_by_its_id(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = (OTHER,)
    new_key()
    (error,) = check_encrypted_values(databases=["default"])
    assert isinstance(error, Error)
    assert error.id == "llm_proxy.E006"
    assert "7 of 8 stored secrets" in error.msg
    assert OLD_ID in error.msg
    assert OLD not in error.msg


def test_a_value_that_does_not_open_is_found(keys: list[VirtualKey]) -> None:
    latest = VirtualKey.objects.first()
    assert latest is not None
    other = next(key for key in keys if key.pk != latest.pk)
    VirtualKey.objects.filter(pk=latest.pk).update(encrypted_value=other.encrypted_value)
    fault = find_fault()
    assert fault is not None
    assert str(latest.pk) in fault.detail
    assert not fault.is_total


@pytest.mark.usefixtures("keys")
def test_the_check_does_not_ask_the_database_unless_told_to(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = (OTHER,)
    assert check_encrypted_values(databases=None) == []


@pytest.mark.django_db(transaction=True)
def test_nobody_can_say_while_the_database_is_away(closed_port: int) -> None:
    usual = dict(connection.settings_dict)
    pool = {**usual["OPTIONS"].get("pool", {}), "timeout": 0.1}
    try:
        reconnect(HOST="127.0.0.1", PORT=closed_port, OPTIONS={"pool": pool})
        with pytest.raises(DatabaseError):
            find_fault()
        assert check_encrypted_values(databases=["default"]) == []
    finally:
        reconnect(**usual)


@pytest.mark.django_db(transaction=True)
async def test_a_server_asks_before_it_starts() -> None:
    assert await stored_secrets_fault() is None


def test_a_token_names_its_key() -> None:
    encrypted = crypto.encrypt("text", "row")
    assert crypto.key_id_of(encrypted) == crypto.known_key_ids()[0]
    with pytest.raises(SecretUnreadable):
        crypto.key_id_of("text")
