"""Usage records compared with LiteLLM's log, call by call, and made to agree with it.

The log is what LiteLLM has billed, so it is right: costs are taken over from it, and calls that
only it knows (those of a gateway that was killed, say) get a record. It is read once, in order, and
never held: a sliding part of it is enough to tell which records it does not have.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Final
from uuid import NAMESPACE_OID, UUID, uuid5

from accounts.models import User
from llm_proxy.usage.calls import request_id_of
from llm_proxy.usage.due_calls import PATIENCE, agree, take_over
from llm_proxy.usage.models import UsageRecord
from llm_proxy.virtual_keys.models import VirtualKey

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from llm_proxy.usage.client import Books, LoggedCall

_BATCH: Final = 200
# How far a record's time may be from the log's: clocks, queues, uploads. Beyond, a call is asked
# for by its id.
_MARGIN: Final = timedelta(minutes=1)
_CALL_ID_CHARACTERS: Final = 128
_OPERATIONS: Final = {
    "acompletion": "chat/completions",
    "atext_completion": "completions",
    "aresponses": "responses",
    "anthropic_messages": "messages",
    "aembedding": "embeddings",
    "aimage_generation": "images/generations",
    "aspeech": "audio/speech",
    "atranscription": "audio/transcriptions",
    "amoderation": "moderations",
    "arerank": "rerank",
}


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a comparison has come upon, in calls.

    Attributes:
        agreed: are the same on both sides.
        filled: were open, and the log has told their cost.
        corrected: had another cost.
        added: only the log knew.
        unbilled: were open and are not in the log, so they have cost nothing.
        waiting: are open and so new that the log may still get them.
        unlogged: US dollars by user, of calls with a known cost that the log does not have.
        users: whose calls these are.
    """

    agreed: int = 0
    filled: int = 0
    corrected: int = 0
    added: int = 0
    unbilled: int = 0
    waiting: int = 0
    unlogged: defaultdict[UUID, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    users: set[UUID] = field(default_factory=set)


class Comparison:
    """One run over the calls that began within a time.

    Args:
        since, until: the time, in whole seconds.
        user_id: of one user only.
        now: against which open calls are old or new.
        is_dry_run: nothing is changed.
        tell: is told up to when all is compared, every now and then.
    """

    def __init__(  # noqa: PLR0913 - each narrows it in a way of its own
        self,
        books: Books,
        *,
        since: datetime,
        until: datetime,
        now: datetime,
        user_id: UUID | None = None,
        is_dry_run: bool = False,
        tell: Callable[[datetime], None] = lambda _: None,
    ) -> None:
        self._books = books
        self._since, self._until, self._now = since, until, now
        self._user_id = user_id
        self._is_dry_run = is_dry_run
        self._tell = tell
        self._known_users: dict[str, bool] = {}
        self._recent: dict[str, datetime] = {}
        self._tally = Tally()

    def run(self) -> Tally:
        """Compare all.

        Raises:
            UpstreamError: LiteLLM can't be asked; what is done is done, and may be begun again.
        """
        calls = self._books.calls(since=self._since, until=self._until, user_id=self._user_id)
        checked = self._since
        while batch := list(islice(calls, _BATCH)):
            self._match(batch)
            self._recent |= {call.call_id: call.began_at for call in batch}
            edge = batch[-1].began_at - _MARGIN
            if edge > checked:
                self._check(checked, edge)
                checked = edge
                self._forget_before(edge - _MARGIN)
            self._tell(batch[-1].began_at)
        self._check(checked, self._until)
        return self._tally

    def _match(self, calls: Collection[LoggedCall]) -> None:
        """Have the records say what the log says."""
        ids = {call.call_id: call.call_id[:_CALL_ID_CHARACTERS] for call in calls}
        records = {
            record.call_id: record
            for record in UsageRecord.objects.filter(call_id__in=ids.values())
        }
        unknown = []
        for call in self._of_users(calls):
            record = records.get(ids[call.call_id])
            if record is not None:
                self._compare(record, call)
            elif call.is_success or call.cost:
                unknown.append(call)
        self._add(unknown)

    def _compare(self, record: UsageRecord, call: LoggedCall) -> None:
        tally = self._tally
        tally.users.add(record.user_id)
        if agree(record, call):
            tally.agreed += 1
            return
        if record.cost is None:
            tally.filled += 1
        else:
            tally.corrected += 1
        if not self._is_dry_run:
            take_over(record, call)

    def _add(self, calls: list[LoggedCall]) -> None:
        keys = {
            token_hash: (virtual_key_id, api_key_id)
            for token_hash, virtual_key_id, api_key_id in VirtualKey.objects.filter(
                token_hash__in={call.token_hash for call in calls}
            ).values_list("token_hash", "pk", "api_key")
        }
        records = [_record_of(call, *keys.get(call.token_hash, (None, None))) for call in calls]
        self._tally.added += len(records)
        self._tally.users.update(record.user_id for record in records)
        if not self._is_dry_run:
            UsageRecord.objects.bulk_create(records, ignore_conflicts=True)

    def _check(self, since: datetime, until: datetime) -> None:
        """Look after the records of a time that the log has not told of."""
        records = UsageRecord.objects.filter(
            kind=UsageRecord.Kind.CALL, at__gte=since, at__lt=until
        ).exclude(cost=0)
        if self._user_id is not None:
            records = records.filter(user_id=self._user_id)
        for record in records.iterator():
            if record.call_id in self._recent:
                continue
            self._tally.users.add(record.user_id)
            call = self._books.call(record.call_id)
            if call is None:
                self._miss(record)
            elif not (self._since <= call.began_at <= self._until and agree(record, call)):
                self._compare(record, call)

    def _miss(self, record: UsageRecord) -> None:
        tally = self._tally
        if record.cost is not None:
            tally.unlogged[record.user_id] += record.cost
        elif self._now - record.at < PATIENCE:
            tally.waiting += 1
        else:
            tally.unbilled += 1
            if not self._is_dry_run:
                record.cost, record.look_at = Decimal(0), None
                record.save(update_fields=("cost", "look_at"))

    def _of_users(self, calls: Collection[LoggedCall]) -> Iterator[LoggedCall]:
        """Yield the calls of the gateway's own users; LiteLLM may serve others besides."""
        unknown = {call.user_id for call in calls} - self._known_users.keys()
        ids = {user_id: parsed for user_id in unknown if (parsed := _uuid(user_id))}
        found = set(User.objects.filter(pk__in=ids.values()).values_list("pk", flat=True))
        self._known_users |= {user_id: ids.get(user_id) in found for user_id in unknown}
        for call in calls:
            if self._known_users[call.user_id]:
                yield call

    def _forget_before(self, edge: datetime) -> None:
        self._recent = {
            call_id: began_at for call_id, began_at in self._recent.items() if began_at >= edge
        }


def _record_of(
    call: LoggedCall, virtual_key_id: UUID | None, api_key_id: UUID | None
) -> UsageRecord:
    """Return the record of a call that no event has told of; its id is always the same."""
    return UsageRecord(
        pk=uuid5(NAMESPACE_OID, f"litellm:{call.call_id}"),
        at=call.began_at,
        source=UsageRecord.Source.LITELLM,
        user_id=UUID(call.user_id),
        virtual_key_id=virtual_key_id,
        api_key_id=api_key_id,
        model=call.model[:256],
        operation=_OPERATIONS.get(call.operation, call.operation)[:64],
        call_id=call.call_id[:_CALL_ID_CHARACTERS],
        request_id=request_id_of(call.call_id),
        tokens_in=call.tokens_in,
        tokens_out=call.tokens_out,
        cost=call.cost,
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
