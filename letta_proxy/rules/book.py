"""The rules in force in this process.

They are read from the database once and held for ``TTL_SECONDS``, or until any process says that
they have changed. A process that has never had them lets nothing through; one that can't read them
anew goes on with those that it has.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from channels.db import database_sync_to_async
from django.db import Error as DatabaseError

from gateway_core.cache import LocalCache, on_invalidate
from gateway_core.errors import DatabaseUnavailable
from gateway_core.logging import get_logger
from gateway_core.tasks import spawn
from letta_proxy.rules.decisions import Rule, RuleSet, compiled
from letta_proxy.rules.models import AccessRule, Effect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_log = get_logger("letta.rules")

# What processes tell each other; the key is the rule's id.
INVALIDATION_SUBJECT: Final = "access_rules"
# How old rules get while Valkey, and with it every broadcast, is away.
TTL_SECONDS: Final = 30.0
# How long requests wait for new rules before they go on with the old ones.
_PATIENCE_SECONDS: Final = 0.5
# How soon the database is asked again after it has failed.
_RETRY_SECONDS: Final = 1.0


class RuleBook:
    """Keeps a rule set and renews it, with one query for however many requests want it.

    Args:
        name: unique in the process.
        load: reads and compiles the rules; raises a database error.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        name: str,
        *,
        load: Callable[[], RuleSet],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # What is fresh, and a mark made before reading: if that is gone afterwards, the rules were
        # forgotten while they were being read, and may have changed.
        self._fresh: LocalCache[str, RuleSet | object] = LocalCache(
            name, ttl=lambda: TTL_SECONDS, max_entries=2, clock=clock
        )
        # Not "thread sensitive": that would queue it behind all else on one thread.
        self._load = database_sync_to_async(load, thread_sensitive=False)
        self._known: RuleSet | None = None
        self._is_failing = False
        self._under_way: asyncio.Task[RuleSet] | None = None

    async def current(self) -> RuleSet:
        """Return the rules in force.

        Raises:
            DatabaseUnavailable: they have never been read, and can't be now.
        """
        fresh = self._fresh.get("rules")
        return fresh if isinstance(fresh, RuleSet) else await self._renewed()

    def forget(self) -> None:
        """Read the rules anew before the next request is judged."""
        self._fresh.clear()

    async def _renewed(self) -> RuleSet:
        task = self._under_way
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = self._under_way = spawn(self._read(), name="access-rules")
            task.add_done_callback(_seen)
        if self._known is None:
            return await asyncio.shield(task)
        if not self._is_failing:
            await asyncio.wait((task,), timeout=_PATIENCE_SECONDS)
        return self._known

    async def _read(self) -> RuleSet:
        try:
            rules = await self._read_unchanged()
        except DatabaseError as exc:
            self._is_failing = True
            if self._known is None:
                raise DatabaseUnavailable from exc
            _log.error("access rules not read; the old ones hold", error=str(exc))
            self._fresh.put("rules", self._known, ttl=_RETRY_SECONDS)
            return self._known
        self._is_failing = False
        return rules

    async def _read_unchanged(self) -> RuleSet:
        while True:
            mark = object()
            self._fresh.put("mark", mark)
            rules: RuleSet = await self._load()
            self._known = rules
            self._fresh.put("rules", rules)
            # Looked at last: another thread may forget at any time.
            if self._fresh.get("mark") is mark:
                return rules
            self._fresh.forget("rules")


def load_rules() -> RuleSet:
    """Read the active rules and compile them."""
    return compiled(as_applied(AccessRule.objects.filter(is_active=True)))


def as_applied(rows: Iterable[AccessRule]) -> list[Rule]:
    """Return rows as rules."""
    return [
        Rule(
            id=row.rule_id,
            effect=Effect(row.effect),
            method=row.method,
            path_pattern=row.path_pattern,
            user_id=row.user_id,
            role=row.role,
            reason=row.reason,
        )
        for row in rows
    ]


def _seen(task: asyncio.Task[RuleSet]) -> None:
    """Look at the outcome, even when everybody who waited has left."""
    if not task.cancelled():
        task.exception()


BOOK: Final = RuleBook(INVALIDATION_SUBJECT, load=load_rules)
on_invalidate(INVALIDATION_SUBJECT, lambda _rule_id: BOOK.forget())
