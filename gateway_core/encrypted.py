"""Which encryption keys stored secrets are encrypted under, and putting all under the newest.

Apps register the columns that hold encrypted texts. Every process needs an encryption key before
any encrypts with it: first it stands second in ENCRYPTION_KEYS everywhere, then first, and then
``rotate_encryption`` makes the older ones unnecessary.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from channels.db import database_sync_to_async
from django.db import transaction
from django.db.models import Count
from django.db.models.functions import Substr
from django.views.decorators.debug import sensitive_variables

from gateway_core import crypto
from gateway_core.crypto import SecretUnreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import Model, QuerySet


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedColumn:
    """A column of encrypted texts; an empty one holds none.

    Attributes:
        name: of what is in it, in the plural.
        bound_to: returns what the text in the row of a primary key is bound to.
    """

    name: str
    model: type[Model]
    column: str
    bound_to: Callable[[Any], str]

    def rows(self) -> QuerySet[Any]:
        """Return the rows that hold something."""
        everything: QuerySet[Any] = self.model._default_manager.all()  # noqa: SLF001 - Django's Meta
        return everything.exclude(**{self.column: ""})

    def under(self, key_id: str) -> QuerySet[Any]:
        """Return the rows that are encrypted under an encryption key."""
        return self.rows().filter(**self._beginning(key_id))

    def not_under(self, key_id: str) -> QuerySet[Any]:
        """Return the others of those that hold something."""
        return self.rows().exclude(**self._beginning(key_id))

    def _beginning(self, key_id: str) -> dict[str, str]:
        return {f"{self.column}__startswith": crypto.beginning(key_id)}


@dataclass(slots=True)
class Reencryption:
    """What became of encrypted values, by the id of the key that they were encrypted under.

    Attributes:
        reencrypted: now under the newest key; with a dry run those that would be.
        unreadable: as they were.
        passed_over: somebody else has just written them.
    """

    total: int = 0
    reencrypted: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    passed_over: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why stored secrets can't be opened.

    Attributes:
        detail: for people who run the gateway; it holds no part of a secret.
        is_total: all of them are encrypted under keys that this process lacks.
    """

    detail: str
    is_total: bool = False


_columns: dict[str, EncryptedColumn] = {}


def register(column: EncryptedColumn) -> None:
    """Have a column looked after; apps call this from ``AppConfig.ready``."""
    _columns[column.name] = column


def keys_in_use() -> dict[str, int]:
    """Return how many texts are encrypted under each encryption key, by its id."""
    found: Counter[str] = Counter()
    for column in _columns.values():
        under = column.rows().order_by().values_list(_key_id_in(column.column))
        found.update(dict(under.annotate(Count("pk"))))
    return dict(found)


def find_fault() -> Fault | None:
    """Return why stored secrets can't be opened with ENCRYPTION_KEYS; None when they can.

    Of each encryption key and column the latest text is tried.

    Raises:
        DatabaseError: nobody can say: the database is away, or was not migrated yet.
    """
    with transaction.atomic():
        in_use = keys_in_use()
        missing = sorted(in_use.keys() - set(crypto.known_key_ids()))
        if missing:
            count, total = sum(in_use[name] for name in missing), sum(in_use.values())
            detail = (
                f"{count} of {total} stored secrets are encrypted under "
                f"encryption keys that ENCRYPTION_KEYS lacks: {', '.join(missing)}."
            )
            return Fault(detail=detail, is_total=count == total)
        faults = (_fault_of(column, name) for column in _columns.values() for name in in_use)
        return next((Fault(detail=fault) for fault in faults if fault), None)


@sensitive_variables()
def reencrypt(
    *, batch_size: int, is_dry_run: bool, show: Callable[[int, int], None]
) -> Reencryption:
    """Encrypt everything under the newest key that is encrypted under another, while others go on.

    A text that somebody writes meanwhile stays theirs. Can be stopped and begun again.

    Args:
        show: told how many are done, and of how many.
    """
    found = Reencryption()
    newest = crypto.known_key_ids()[0]
    older = [(column, column.not_under(newest)) for column in _columns.values()]
    found.total = sum(rows.count() for _, rows in older)
    done = 0
    for column, rows in older:
        for pk, text in _in_batches(rows, column.column, batch_size):
            _reencrypt_one(column, pk, text, found, is_dry_run=is_dry_run)
            done += 1
            show(done, max(done, found.total))
    return found


@sensitive_variables()
def _reencrypt_one(
    column: EncryptedColumn, pk: Any, text: str, found: Reencryption, *, is_dry_run: bool
) -> None:
    name, row = _key_id_of(text), column.bound_to(pk)
    try:
        secret = crypto.decrypt(text, row)
    except SecretUnreadable:
        found.unreadable[name] += 1
        return
    unchanged = column.rows().filter(pk=pk, **{column.column: text})
    if is_dry_run or unchanged.update(**{column.column: crypto.encrypt(secret, row)}):
        found.reencrypted[name] += 1
    else:
        found.passed_over += 1


def _key_id_in(column: str) -> Substr:
    return Substr(column, crypto.ID_AT + 1, crypto.ID_CHARACTERS)  # SQL counts from 1


def _key_id_of(text: str) -> str:
    try:
        return crypto.key_id_of(text)
    except SecretUnreadable:
        return "none"


def _in_batches(found: QuerySet[Any], column: str, size: int) -> Iterator[tuple[Any, str]]:
    rows = found.order_by("pk")
    batch = list(rows.values_list("pk", column)[:size])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1][0]).values_list("pk", column)[:size])


def _fault_of(column: EncryptedColumn, key_id: str) -> str | None:
    row = column.under(key_id).values_list("pk", column.column).first()
    if row is None:
        return None
    try:
        crypto.decrypt(row[1], column.bound_to(row[0]))
    except SecretUnreadable as exc:
        return f"One of the {column.name}, {row[0]}, can't be opened: {exc.reason}."
    return None


def _say_why_not() -> str | None:
    fault = find_fault()
    return fault.detail if fault else None


# Why a server must not start, without blocking.
stored_secrets_fault = database_sync_to_async(_say_why_not, thread_sensitive=False)
