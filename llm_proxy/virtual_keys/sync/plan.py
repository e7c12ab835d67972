"""What LiteLLM and our rows disagree about.

LiteLLM's lists are read page by page and compared with the rows of each page; what is kept of all
of them is which rows were seen. Nothing is changed meanwhile, by this. What others change
meanwhile can make a step of the plan needless, never wrong: each looks again when its turn comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from uuid import UUID

from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.db.models import Q
from django.utils import timezone

from accounts.plans.services import limits_of
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.client.keys import all_keys
from llm_proxy.client.users import all_users
from llm_proxy.virtual_keys import standing as standings
from llm_proxy.virtual_keys.models import ALIAS_PREFIX, VirtualKey
from llm_proxy.virtual_keys.terms import are_met, user_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from llm_proxy.client.keys import KeyInfo
    from llm_proxy.client.users import UserInfo
    from llm_proxy.virtual_keys.standing import Standing

    Show = Callable[[str, int, int], None]

_ROWS_AT_ONCE: Final = 500
_State = VirtualKey.State


class Kind(StrEnum):
    """What is to be done with a key; of the last two, with what only LiteLLM has."""

    MAKE = "make"
    CHANGE = "change"
    BLOCK = "block"
    UNBLOCK = "unblock"
    RETIRE = "retire"
    DELETE_KEY = "delete key"
    DELETE_USER = "delete user"


PRUNED: Final = frozenset({Kind.DELETE_KEY, Kind.DELETE_USER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do.

    Attributes:
        subject: id of our row; LiteLLM's name for what only LiteLLM has.
        reason: why, for people.
    """

    kind: Kind
    subject: str
    user_id: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind:<11} {self.subject} of user {self.user_id}: {self.reason}"


@dataclass(slots=True, kw_only=True)
class Plan:
    """All there is to do.

    Attributes:
        keys, users: how many LiteLLM has.
        foreign: keys that are named as ours, and that another gateway has made.
    """

    steps: list[Step] = field(default_factory=list)
    keys: int = 0
    users: int = 0
    foreign: int = 0


class Planner:
    """Makes a plan.

    Args:
        show: told what is read, how much of it, and of how much.
    """

    def __init__(self, show: Show) -> None:
        self._show = show
        self._plan = Plan()
        self._began = timezone.now()
        self._changed_users: set[str] = set()
        self._seen_users: set[UUID] = set()
        self._seen_keys: set[UUID] = set()

    async def make(self) -> Plan:
        """Compare all there is. Raises UpstreamError."""
        async for users, total in all_users():
            await database_sync_to_async(self._compare_users, thread_sensitive=False)(users)
            self._plan.users += len(users)
            self._show("users", self._plan.users, total)
        async for keys, total in all_keys():
            await database_sync_to_async(self._compare_keys, thread_sensitive=False)(keys)
            self._plan.keys += len(keys)
            self._show("keys", self._plan.keys, total)
        await database_sync_to_async(self._find_missing, thread_sensitive=False)()
        return self._plan

    def _compare_users(self, users: Sequence[UserInfo]) -> None:
        ids = {user.user_id: user_id for user in users if (user_id := _uuid(user.user_id))}
        known = set(
            get_user_model().objects.filter(pk__in=ids.values()).values_list("pk", flat=True)
        )
        limits = limits_of(known)
        self._seen_users |= known
        for user in users:
            user_id = ids.get(user.user_id)
            if user_id in known and user_id is not None:
                if not are_met(user_terms(limits[user_id]), user.row):
                    self._changed_users.add(user.user_id)
            elif user_id is not None and _is_ours(user):
                self._add(Kind.DELETE_USER, user.user_id, user.user_id, "there is no such user")

    def _compare_keys(self, keys: Sequence[KeyInfo]) -> None:
        rows = VirtualKey.objects.filter(token_hash__in=[key.token_hash for key in keys])
        found = {standing.key.token_hash: standing for standing in standings.of_keys(list(rows))}
        ended = _of_ended_api_keys([standing.key.pk for standing in found.values()], self._began)
        for key in keys:
            standing = found.get(key.token_hash)
            if standing is not None:
                self._seen_keys.add(standing.key.pk)
                self._compare_key(key, standing, ended)
            elif key.alias.startswith(ALIAS_PREFIX):
                if _is_ours(key):
                    self._add(Kind.DELETE_KEY, key.token_hash, key.user_id, "only LiteLLM has it")
                else:
                    self._plan.foreign += 1

    def _compare_key(self, info: KeyInfo, standing: Standing, ended: Collection[UUID]) -> None:
        key, wanted = standing.key, standing.terms.key
        if reason := _reason_to_retire(key, ended):
            self._add_of(key, Kind.RETIRE, reason)
        elif key.created_at >= self._began:
            return  # somebody is at it
        elif key.state == _State.CREATING:
            self._add_of(key, Kind.MAKE, "its making was not finished")
        elif key.user_id not in self._seen_users:
            self._add_of(key, Kind.MAKE, "LiteLLM lacks its user")
        elif bool(info.row.get("blocked")) != wanted["blocked"]:
            kind = Kind.BLOCK if wanted["blocked"] else Kind.UNBLOCK
            self._add_of(key, kind, "LiteLLM was not told")
        elif not are_met(wanted, info.row) or key.applied_limits != standing.terms.fingerprint:
            self._add_of(key, Kind.CHANGE, "LiteLLM holds it to other limits")
        elif str(key.user_id) in self._changed_users:
            self._add_of(key, Kind.CHANGE, "LiteLLM holds its user to other limits")

    def _find_missing(self) -> None:
        """Go through our own rows, those from before the plan was begun."""
        rows = VirtualKey.objects.filter(created_at__lt=self._began).order_by("pk")
        total, done = rows.count(), 0
        batch = list(rows[:_ROWS_AT_ONCE])
        while batch:
            ended = _of_ended_api_keys([key.pk for key in batch], self._began)
            for key in batch:
                if key.pk not in self._seen_keys:
                    self._add_missing(key, ended)
            done += len(batch)
            self._show("rows", done, max(done, total))
            batch = list(rows.filter(pk__gt=batch[-1].pk)[:_ROWS_AT_ONCE])

    def _add_missing(self, key: VirtualKey, ended: Collection[UUID]) -> None:
        if reason := _reason_to_retire(key, ended):
            self._add_of(key, Kind.RETIRE, reason)
        elif key.state != _State.BLOCKED:
            self._add_of(key, Kind.MAKE, "LiteLLM lacks it")

    def _add_of(self, key: VirtualKey, kind: Kind, reason: str) -> None:
        if kind is not Kind.RETIRE:
            self._changed_users.discard(str(key.user_id))  # LiteLLM is told of the user as well
        self._add(kind, str(key.pk), str(key.user_id), reason)

    def _add(self, kind: Kind, subject: str, user_id: str, reason: str) -> None:
        step = Step(kind=kind, subject=subject, user_id=user_id, reason=reason)
        self._plan.steps.append(step)


def _reason_to_retire(key: VirtualKey, ended: Collection[UUID]) -> str:
    if key.state == _State.RETIRING:
        return "LiteLLM was not told to delete it"
    return "its API key has ended" if key.pk in ended else ""


def _of_ended_api_keys(virtual_key_ids: Collection[UUID], at: datetime) -> set[UUID]:
    """Return those that belong to an API key which is revoked, expired or gone."""
    mapped = VirtualKey.objects.filter(pk__in=virtual_key_ids, kind=VirtualKey.Kind.API_KEY)
    living = ApiKey.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=at), revoked_at=None, virtual_key__in=virtual_key_ids
    )
    return set(mapped.values_list("pk", flat=True)) - set(
        living.values_list("virtual_key_id", flat=True)
    )


def _is_ours(info: KeyInfo | UserInfo) -> bool:
    return info.made_by == str(standings.installation_id())


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
