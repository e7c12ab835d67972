"""What all errors have in common."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Final, Self

from gateway_core.errors.codes import Code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

FIRST_SERVER_ERROR: Final = 500


class GatewayError(Exception):
    """An error with everything its answer needs.

    Args:
        detail: what happened and what to do about it, for the caller to read. Never names an
            internal URL, key or host.
        code: overrides the class's code where one class serves several.
        status: overrides the class's HTTP status.
        param: the offending request field, as a dotted or JSON-pointer path.
        retry_after: seconds after which a repeat may succeed; becomes ``Retry-After``.
        headers: further response headers.
        errors: one ``{"pointer": …, "message": …}`` for each fault, when there are several.

    Attributes:
        user_id: whose request it was, where that was proved before the request was let in; for the
            record of the request, not for its answer.
        api_key_id: with which it was proved, if with one.
    """

    code: Code = Code.GATEWAY_INTERNAL_ERROR
    status: int = 500
    retryable: bool = False
    detail: str = "The gateway failed to handle this request. Quote the request id to support."
    retry_after: float | None = None
    user_id: UUID | None = None
    api_key_id: UUID | None = None

    def __init__(  # noqa: PLR0913 - each is one member of the envelope
        self,
        detail: str = "",
        *,
        code: Code | None = None,
        status: int | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        self.detail = detail or self.detail
        self.code = code or self.code
        self.status = status or self.status
        self.param = param
        self.retry_after = self.retry_after if retry_after is None else retry_after
        self.headers = dict(headers or {})
        self.errors = list(errors)
        super().__init__(f"{self.code}: {self.detail}")

    def unrepeatable(self, advice: str) -> Self:
        """Return the same error, for a request that is not to be repeated just so.

        Args:
            advice: what to do instead.
        """
        error = copy(self)
        error.retryable, error.retry_after = False, None
        error.detail = f"{self.detail} {advice}"
        return error
