"""How many tokens that prove nothing may come from one address.

Each costs a signature or a query, and no user's limit counts it. Each process counts by itself. A
token that is known is not looked at again, so that its user goes on wherever others guess.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from django.conf import settings

from gateway_core import context
from gateway_core.addresses import subscriber
from gateway_core.errors import Code, RateLimited, TokenRejected
from gateway_core.rates import OwnBuckets, Quota

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUOTA: Final = Quota(name="tokens", per_hour=1200, burst=60)
_buckets: Final = OwnBuckets()


@contextmanager
def counted() -> Iterator[None]:
    """Count a token of the request in hand that the block refuses, unless it was good once.

    Raises:
        RateLimited: too many were refused that came from the same address.
    """
    record = context.current.get()
    if record is None or not record.client_ip or not settings.ENABLE_RATE_LIMITING:
        yield
        return
    who = subscriber(record.client_ip)
    left = _buckets.take(who, _QUOTA, "")
    if not left.remaining:
        raise RateLimited(
            "Too many tokens from this address were refused. Wait for the seconds in Retry-After.",
            retry_after=left.retry_after,
        )
    try:
        yield
    except TokenRejected as error:
        if error.code is Code.CALLER_TOKEN_INVALID:
            _buckets.take(who, _QUOTA, "-")
        raise
