"""Goes along a chain, or the part of it that an export has, and says what is not as it was sealed.

It sees each batch, then what this has sealed, in the order of their ids; where that comes from, the
database or a file, is all the same to it. Memory grows with the number of erased events only.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from gateway_core.audit.batches import FIRST_PREVIOUS, Batch, Head, Kind
from gateway_core.audit.leaves import leaf_of, month_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway_core.audit.keys import PublicKeys

_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a batch has sealed of one event.

    Attributes:
        content: see ``leaves``.
        replaces: likewise.
        is_withdrawn: it was replaced in its turn, and only these hashes are left.
    """

    event_id: str
    content: bytes
    replaces: bytes
    is_withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Other:
    """An event that a filtered export does not tell of, but for its leaf."""

    month: str
    leaf: bytes


class Faults:
    """The first faults, and how many there are."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self.count = 0

    def add(self, text: str) -> None:
        """Note one."""
        self.count += 1
        if len(self.first) < _LISTED:
            self.first.append(text)


class _Month:
    """What has been seen of a month in the batch at hand."""

    __slots__ = ("events", "hash")

    def __init__(self) -> None:
        self.events = 0
        self.hash = hashlib.sha256()

    def add(self, leaf: bytes) -> None:
        self.events += 1
        self.hash.update(leaf)


class Verifier:
    """Takes ``Batch``, ``Sealed`` and ``Other``; ``finish`` says what only the end shows.

    Args:
        keys: whose signatures are good.
        heads: that the chain must have.
        is_whole: all of the chain, from its first batch, will be shown; otherwise a part of it,
            of which no absence can be told.
        begins_later: the first batches are left out; everything after them will be shown.
    """

    def __init__(
        self,
        keys: PublicKeys,
        *,
        heads: Iterable[Head] = (),
        is_whole: bool = True,
        begins_later: bool = False,
    ) -> None:
        self.faults = Faults()
        self.head: Head | None = None
        self.batches = 0
        self.events = 0
        self.key_ids: set[str] = set()
        self._keys = keys
        self._heads: defaultdict[int, set[Head]] = defaultdict(set)
        for head in heads:
            self._heads[head.sequence].add(head)
        # Where the chain begins, and where it says that it begins.
        self._first: Batch | None = None
        self._said_first: tuple[int, str] = (1, FIRST_PREVIOUS)
        self._is_whole = is_whole
        self._begins_later = begins_later
        self._batch: Batch | None = None
        self._months: defaultdict[str, _Month] = defaultdict(_Month)
        # Months that batches speak of and that nothing was shown of, with the last such batch.
        self._missing: dict[str, int] = {}
        # What was withdrawn and not yet seen to be replaced.
        self._withdrawn: dict[bytes, str] = {}

    def see(self, one: Batch | Sealed | Other) -> None:
        """Look at the next thing."""
        if isinstance(one, Batch):
            self._end_batch()
            self._begin_batch(one)
        elif self._batch is None:
            self.faults.add("something stands before the first batch")
        elif isinstance(one, Sealed):
            self._see_event(one)
        else:
            self._months[one.month].add(one.leaf)

    def finish(self) -> None:
        """Say what was missing."""
        self._end_batch()
        self._batch = None
        if self._is_whole and not self._begins_later:
            self._check_beginning()
        if self._is_whole:
            for month, sequence in sorted(self._missing.items()):
                self.faults.add(
                    f"{month}: all events of batch {sequence} and maybe of earlier ones are "
                    "missing, and no batch says that the month was dropped"
                )
            for event_id in self._withdrawn.values():
                self.faults.add(f"event {event_id} was taken out, and nothing stands in its place")
        for head in sorted(chain(*self._heads.values()), key=attrgetter("sequence")):
            end = f"ends at {self.head}" if self.head else "is empty"
            self.faults.add(f"batch {head} is missing: the chain {end}")

    def _begin_batch(self, batch: Batch) -> None:
        name = f"batch {batch.sequence}"
        self.batches += 1
        self.key_ids.add(batch.key_id)
        fault = batch.fault(self._keys)
        if fault:
            self.faults.add(f"{name} {fault}")
        self._check_place(batch, name)
        for wanted in self._heads.pop(batch.sequence, set()) - {batch.head}:
            self.faults.add(f"{name} is not the one of the head {wanted}, but {batch.head}")
        if batch.kind == Kind.RETENTION and not fault:
            self._missing.pop(batch.notes["month"], None)
            self._said_first = max(
                self._said_first, (batch.notes["first"], batch.notes["previous"])
            )
        self._first = self._first or batch
        self._batch = batch
        self.head = batch.head

    def _check_place(self, batch: Batch, name: str) -> None:
        last = self.head
        if last is None:  # what came before is told by a later batch, if at all
            return
        if batch.sequence <= last.sequence:
            self.faults.add(f"{name} stands after batch {last.sequence}")
        elif batch.sequence > last.sequence + 1:
            if self._is_whole:
                self.faults.add(f"{_between(last.sequence, batch.sequence)} missing")
        elif batch.previous != last.hash:
            self.faults.add(f"{name} does not follow the batch before it")

    def _check_beginning(self) -> None:
        """The chain begins where its last drop of a month says, or earlier: that takes a while."""
        first = self._first
        if first is None:
            return
        sequence, previous = self._said_first
        if first.sequence > sequence or first.sequence < 1:
            self.faults.add(f"{_between(sequence - 1, first.sequence)} missing")
        elif first.sequence == sequence and first.previous != previous:
            self.faults.add(f"batch {sequence} does not follow the batch that was before it")

    def _see_event(self, event: Sealed) -> None:
        leaf = leaf_of(event.content, event.replaces)
        self._months[month_of(event.event_id)].add(leaf)
        self.events += not event.is_withdrawn
        replaced = self._withdrawn.pop(event.replaces, None) if event.replaces else event.event_id
        if replaced is None and self._is_whole and not self._begins_later:
            self.faults.add(f"event {event.event_id} replaces what is not there")
        if event.is_withdrawn:
            self._withdrawn[leaf] = event.event_id

    def _end_batch(self) -> None:
        batch = self._batch
        if batch is None:
            return
        for month in sorted({*batch.digests, *self._months}):
            self._compare(batch.sequence, month, _expected(batch.digests.get(month)))
        self._months.clear()

    def _compare(self, sequence: int, month: str, expected: tuple[Any, Any]) -> None:
        seen = self._months[month]
        if not seen.events:
            self._missing[month] = sequence
        elif seen.events != expected[0]:
            self.faults.add(
                f"batch {sequence} has {seen.events} events of {month} and sealed {expected[0]}"
            )
        elif seen.hash.hexdigest() != expected[1]:
            self.faults.add(
                f"batch {sequence}: of its {seen.events} events of {month} some are not what they "
                "were when it was sealed"
            )


def _expected(digest: Any) -> tuple[Any, Any]:
    if not isinstance(digest, dict):
        return 0, ""
    return digest.get("events", 0), digest.get("digest", "")


def _between(last: int, sequence: int) -> str:
    first = last + 1
    if sequence == first + 1:
        return f"batch {first} is"
    return f"batches {first} to {sequence - 1} are"
