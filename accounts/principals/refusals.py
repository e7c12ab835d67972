"""Who is refused though they have proved who they are: named for the record, but not too often.

Their requests are not let in, so no limit of theirs counts them. Each process counts by itself.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from django.conf import settings

from gateway_core.errors import CallerError, GatewayError, PolicyError, RateLimited
from gateway_core.rates import OwnBuckets, Quota

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

_QUOTA: Final = Quota(name="refusals", per_hour=1200, burst=60)
_buckets: Final = OwnBuckets()


@contextmanager
def named(user_id: UUID, api_key_id: UUID | None = None) -> Iterator[None]:
    """Have errors of the block say whose request it was.

    Not those of a token that is none any more: who was erased is not to be named again.
    """
    try:
        yield
    except CallerError:
        raise
    except GatewayError as error:
        error.user_id, error.api_key_id = user_id, api_key_id
        raise


def count(refusal: PolicyError) -> None:
    """Count a request that was refused so.

    Raises:
        RateLimited: there were too many of this user. It names nobody: what is named is kept.
    """
    if refusal.user_id is None or not settings.ENABLE_RATE_LIMITING:
        return
    decision = _buckets.take(str(refusal.user_id), _QUOTA, "-")
    if not decision.refusal:
        return
    raise RateLimited(
        f"{refusal.detail} This was answered too often: wait for the seconds in Retry-After.",
        retry_after=decision.retry_after,
    ) from refusal
