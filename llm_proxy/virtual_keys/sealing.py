"""Which encryption keys virtual keys are sealed under, and putting all under the newest.

Every process needs an encryption key before any seals with it: first it stands second in
ENCRYPTION_KEYS everywhere, then first, and then ``rotate_encryption`` makes the older ones
unnecessary.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from channels.db import database_sync_to_async
from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models import Count
from django.db.models.functions import Substr
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from gateway_core import crypto
from gateway_core.crypto import SecretUnreadable
from llm_proxy.virtual_keys.models import VirtualKey, row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from django.db.models import QuerySet

# Where the key id stands in a token; see ``gateway_core.crypto``.
_ID_BEGINS: Final = 4
_ID_CHARACTERS: Final = 8


@dataclass(slots=True)
class Resealing:
    """What became of sealed values, by the id of the key that they were sealed under.

    Attributes:
        resealed: now under the newest key; with a dry run those that would be.
        unreadable: as they were.
        passed_over: somebody else has just written them.
    """

    total: int = 0
    resealed: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    passed_over: int = 0


def keys_in_use() -> dict[str, int]:
    """Return how many virtual keys are sealed under each encryption key, by its id."""
    under = VirtualKey.objects.order_by().values_list(
        Substr("sealed_value", _ID_BEGINS, _ID_CHARACTERS)
    )
    return dict(under.annotate(Count("pk")))


def find_fault() -> str | None:
    """Return why stored virtual keys can't be opened with ENCRYPTION_KEYS; None when they can.

    Of each encryption key the latest value is tried. What can't be looked at now is no fault: the
    database is away, or was not migrated yet.
    """
    try:
        with transaction.atomic():
            in_use = keys_in_use()
            missing = sorted(in_use.keys() - set(crypto.known_key_ids()))
            if missing:
                count = sum(in_use[name] for name in missing)
                return (
                    f"{count} of {sum(in_use.values())} stored virtual keys are sealed under "
                    f"encryption keys that ENCRYPTION_KEYS lacks: {', '.join(missing)}."
                )
            return next((text for name in in_use if (text := _fault_of(name))), None)
    except DatabaseError:
        return None


@sensitive_variables()
def reseal(*, batch_size: int, is_dry_run: bool, show: Callable[[int, int], None]) -> Resealing:
    """Seal everything under the newest key that is sealed under another, while others go on.

    A value that somebody writes meanwhile stays theirs. Can be stopped and begun again.

    Args:
        show: told how many are done, and of how many.
    """
    found = Resealing()
    newest = crypto.known_key_ids()[0]
    older = VirtualKey.objects.exclude(sealed_value__startswith=f"v1.{newest}.")
    found.total = older.count()
    for done, (pk, sealed_value) in enumerate(_in_batches(older.order_by("pk"), batch_size), 1):
        try:
            name = crypto.key_id_of(sealed_value)
        except SecretUnreadable:
            name = "none"
        try:
            value = crypto.unseal(sealed_value, row_of(pk))
        except SecretUnreadable:
            found.unreadable[name] += 1
        else:
            unchanged = VirtualKey.objects.filter(pk=pk, sealed_value=sealed_value)
            if is_dry_run or unchanged.update(
                sealed_value=crypto.seal(value, row_of(pk)), updated_at=timezone.now()
            ):
                found.resealed[name] += 1
            else:
                found.passed_over += 1
        show(done, max(done, found.total))
    return found


def _in_batches(rows: QuerySet[VirtualKey], size: int) -> Iterator[tuple[UUID, str]]:
    batch = list(rows.values_list("pk", "sealed_value")[:size])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1][0]).values_list("pk", "sealed_value")[:size])


def _fault_of(name: str) -> str | None:
    latest = VirtualKey.objects.filter(sealed_value__startswith=f"v1.{name}.").first()
    if latest is None:
        return None
    try:
        latest.value()
    except SecretUnreadable as exc:
        return f"The virtual key {latest.pk} can't be opened: {exc.reason}."
    return None


# The same without blocking.
stored_keys_fault = database_sync_to_async(find_fault, thread_sensitive=False)
