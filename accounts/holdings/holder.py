"""Those who hold something of a user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from uuid import UUID

    from accounts.holdings.document import Document


def _nothing(_user_id: UUID) -> dict[str, Any]:
    return {}


def _no_documents(_user_id: UUID) -> tuple[Document, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A store that has something of users.

    Attributes:
        name: unique; users see it in receipts and as a folder of their export.
        summarise: returns members for ``GET /api/v1/me``; a few queries at the most, no secrets.
        export: returns all that is held of a user, one document after the other. No secrets.
        count: returns how many of what ``erase`` would erase, as far as a look at it tells.
        erase: erases it and returns how many of what; nothing there is nothing erased. Safe to
            repeat after any failure. Raises UpstreamError when its upstream is away.
        erase_by_parts: instead of ``erase`` where that takes minutes; yields how many more of what
            it has erased, every few seconds.
    """

    name: str
    summarise: Callable[[UUID], Mapping[str, Any]] = _nothing
    export: Callable[[UUID], Iterable[Document]] = _no_documents
    count: Callable[[UUID], Mapping[str, int]] = _nothing
    erase: Callable[[UUID], Mapping[str, int]] = _nothing
    erase_by_parts: Callable[[UUID], Iterator[Mapping[str, int]]] | None = None

    def erasing(self, user_id: UUID) -> Iterator[Mapping[str, int]]:
        """Erase, in parts or at once; yield how many more of what each time."""
        if self.erase_by_parts is None:
            yield self.erase(user_id)
        else:
            yield from self.erase_by_parts(user_id)


_holders: dict[str, Holder] = {}


def register(holder: Holder) -> None:
    """Have a holder asked whenever a user's things are told, exported or erased."""
    _holders[holder.name] = holder


def holders() -> tuple[Holder, ...]:
    """Return all holders, the uppermost app's first: what stands on something goes before it."""
    return tuple(reversed(_holders.values()))
