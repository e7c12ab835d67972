"""LiteLLM's own books: its spend log and its users' spend. Facts are of LiteLLM 1.109.1.

A row of the log costs LiteLLM 2 to 3 ms of CPU to hand out, since it carries all that is known of
its model, and a request for one row 17 ms: so little is asked for at once, and no more than needed.
"""

from __future__ import annotations

import re
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count, groupby
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings

from gateway_core.errors import (
    UpstreamAnswerInvalid,
    UpstreamError,
    UpstreamFailed,
)
from gateway_core.rest import RestClient
from llm_proxy import refusals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

_PAGE_ROWS: Final = 100
_READ_SECONDS: Final = 60.0
_LIMIT_BYTES: Final = 64 * 1024 * 1024
_ERROR: Final = 400
_NOT_FOUND: Final = 404
_SECOND: Final = timedelta(seconds=1)
_TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
# How LiteLLM files the attempts of one call that it has billed although they failed.
_ATTEMPT: Final = re.compile(r"-attempt-\d+\Z")
_EVER: Final = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedCall:
    """What LiteLLM's log says of one call: a row, or several that were billed for it.

    Attributes:
        row_id: LiteLLM's own id of the row, or of the last one.
        call_id: what the gateway sent as ``x-litellm-call-id``; LiteLLM's own for other calls.
        token_hash: of the key.
        operation: LiteLLM's ``call_type``.
        cost: US dollars.
        is_success: it was answered; a failed one may have cost something all the same.
    """

    row_id: str
    call_id: str
    user_id: str
    token_hash: str
    model: str
    operation: str
    tokens_in: int
    tokens_out: int
    cost: Decimal
    began_at: datetime
    is_success: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSpend:
    """What LiteLLM counts against a user's budget.

    Attributes:
        spent: US dollars since the period began; since ever, when there is no period.
        period: such as ``30d``; None: the budget is never renewed.
        resets_at: when ``spent`` begins at zero again.
    """

    spent: Decimal
    period: str | None
    resets_at: datetime | None


class Books:
    """A session with LiteLLM's books, as its administrator. Close it.

    Args:
        read_seconds: until an answer must have come.

    Every method raises ``UpstreamCredentialRejected`` when the master key is not LiteLLM's, and
    another ``UpstreamError`` for any other failure.
    """

    def __init__(self, *, read_seconds: float = _READ_SECONDS) -> None:
        self._rest = RestClient(
            base_url=settings.LITELLM_BASE_URL,
            headers={"authorization": f"Bearer {settings.LITELLM_MASTER_KEY}"},
            connect_timeout=settings.UPSTREAM_CONNECT_TIMEOUT,
            read_timeout=read_seconds,
            limit=_LIMIT_BYTES,
        )

    def close(self) -> None:
        """Close the connections."""
        self._rest.close()

    def call(self, call_id: str) -> LoggedCall | None:
        """Return one call with all that was billed for it; None when the log does not have it."""
        rows = self._rows_of(call_id)
        if not rows:
            return None
        if not all(row.is_success for row in rows):
            for number in count():
                attempt = self._rows_of(f"{call_id}-attempt-{number}")
                if not attempt:
                    break
                rows += attempt
        return _merged(rows)

    def calls(
        self, *, since: datetime, until: datetime, user_id: UUID | None = None
    ) -> Iterator[LoggedCall]:
        """Yield the calls that began in these seconds, both included, the oldest first.

        Args:
            user_id: of one user only.
        """
        rows = self._rows(_second(since), _second(until), user_id)
        # Rows of one call bear the same time.
        for _, together in groupby(rows, key=lambda row: _second(row.began_at)):
            by_call: dict[str, list[LoggedCall]] = {}
            for row in together:
                by_call.setdefault(row.call_id, []).append(row)
            for rows_of_call in by_call.values():
                yield _merged(rows_of_call)

    def spend_of(self, user_id: UUID) -> UserSpend | None:
        """Return what is counted against a user's budget; None when LiteLLM has no such user."""
        answer = self._get("/v2/user/info", user_id=str(user_id))
        if answer is None:
            return None
        with _understanding():
            resets_at = answer["budget_reset_at"]
            return UserSpend(
                spent=_money(answer["spend"] or 0),
                period=answer["budget_duration"],
                resets_at=None if resets_at is None else _moment(resets_at),
            )

    def _rows_of(self, call_id: str) -> list[LoggedCall]:
        # A row whose own id it is, is another's.
        wanted = _ATTEMPT.sub("", call_id)
        return [row for row in self._page(*_EVER, request_id=call_id) if row.call_id == wanted]

    def _rows(self, since: datetime, until: datetime, user_id: UUID | None) -> Iterator[LoggedCall]:
        """Yield rows page by page, each from the last second of the one before.

        Pages by number would shift under rows that are written meanwhile.
        """
        user = {} if user_id is None else {"user_id": str(user_id)}
        page, seen = 1, set[str]()
        while True:
            rows = self._page(since, until, page=page, **user)
            for row in rows:
                if row.row_id not in seen and _second(row.began_at) <= until:
                    yield row
            if len(rows) < _PAGE_ROWS:
                return
            last = _second(rows[-1].began_at)
            if last > since:
                page, since, seen = 1, last, set()
            else:
                page += 1
            seen |= {row.row_id for row in rows if _second(row.began_at) == last}

    def _page(self, since: datetime, until: datetime, **query: Any) -> list[LoggedCall]:
        """Return a page of rows, the oldest first."""
        answer = self._get(
            "/spend/logs/v2",
            start_date=since.strftime(_TIME_FORMAT),
            end_date=(until + _SECOND).strftime(_TIME_FORMAT),
            page_size=_PAGE_ROWS,
            sort_by="startTime",
            sort_order="asc",
            **query,
        )
        with _understanding():
            return [_row(row) for row in answer["data"]]

    def _get(self, target: str, **query: Any) -> Any:
        answer = self._rest.call("GET", target, params=query)
        if answer.status >= _ERROR:
            refusal = refusals.read(answer.status, answer.content, answer.headers)
            if answer.status == _NOT_FOUND and refusal.kind:
                return None
            error = refusals.meaning(refusal)
            raise error if isinstance(error, UpstreamError) else UpstreamFailed
        return answer.json()


def open_books(*, read_seconds: float = _READ_SECONDS) -> closing[Books]:
    """Return the books for a ``with`` block."""
    return closing(Books(read_seconds=read_seconds))


@contextmanager
def _understanding() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, ArithmeticError) as exc:
        raise UpstreamAnswerInvalid from exc


def _row(row: Any) -> LoggedCall:
    row_id = row["request_id"]
    return LoggedCall(
        row_id=row_id,
        call_id=_ATTEMPT.sub("", row.get("litellm_call_id") or row_id),
        user_id=row["user"] or "",
        token_hash=row["api_key"] or "",
        model=row["model_group"] or row["model"] or "",
        operation=row["call_type"],
        tokens_in=row["prompt_tokens"],
        tokens_out=row["completion_tokens"],
        cost=_money(row["spend"]),
        began_at=_moment(row["startTime"]),
        is_success=row["status"] != "failure",
    )


def _merged(rows: list[LoggedCall]) -> LoggedCall:
    last = rows[-1]
    if len(rows) == 1:
        return last
    return replace(
        last,
        tokens_in=sum(row.tokens_in for row in rows),
        tokens_out=sum(row.tokens_out for row in rows),
        cost=sum((row.cost for row in rows), Decimal(0)),
        began_at=min(row.began_at for row in rows),
        is_success=any(row.is_success for row in rows),
    )


def _money(value: float) -> Decimal:
    return Decimal(repr(float(value)))


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _second(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)
