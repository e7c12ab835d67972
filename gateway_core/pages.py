"""Pages of lists on the control plane: ``{"data": […], "next_cursor": …}``.

By keyset: a page costs the same wherever it is, and nothing is shown twice or left out when rows
come and go meanwhile. Cursors are signed, so that what comes back is what was given out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.core.signing import BadSignature, Signer
from django.db.models import Q
from rest_framework.pagination import BasePagination
from rest_framework.response import Response

from gateway_core.errors import FieldInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import Model
    from rest_framework.request import Request
    from rest_framework.views import APIView

_LIMIT: Final = "limit"
_CURSOR: Final = "cursor"


class KeysetPagination(BasePagination):
    """The newest first; a subclass may name other columns.

    Attributes:
        columns: what rows are ordered by, the largest first. Together they are unique and never
            null, and an index has them.
    """

    columns: ClassVar[tuple[str, ...]] = ("created_at", "id")
    default_limit: ClassVar[int] = 50
    max_limit: ClassVar[int] = 100

    def paginate_queryset(
        self, queryset: Any, request: Request, view: APIView | None = None
    ) -> list[Any]:
        """Return the rows of a page of a QuerySet.

        Raises:
            FieldInvalid: the limit is out of range, or the cursor is not one of this list's.
        """
        del view
        limit = self._limit(request.query_params.get(_LIMIT, ""))
        signer = Signer(salt=f"{queryset.model.__qualname__} by {', '.join(self.columns)}")
        if cursor := request.query_params.get(_CURSOR, ""):
            queryset = queryset.filter(self._after(queryset.model, _opened(signer, cursor)))
        rows = list(queryset.order_by(*(f"-{name}" for name in self.columns))[: limit + 1])
        self._next_cursor = None
        if len(rows) > limit:
            self._next_cursor = signer.sign_object(self._place(rows[limit - 1]))
        return rows[:limit]

    def get_paginated_response(self, data: Any) -> Response:
        """Return the answer."""
        return Response({"data": data, "next_cursor": self._next_cursor})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the answer's schema."""
        return {
            "type": "object",
            "required": ["data", "next_cursor"],
            "properties": {
                "data": schema,
                "next_cursor": {
                    "type": ["string", "null"],
                    "description": "Of the next page; null on the last one.",
                },
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Return the query parameters."""
        del view
        limit = {
            "type": "integer",
            "minimum": 1,
            "maximum": self.max_limit,
            "default": self.default_limit,
        }
        return [
            {"name": _LIMIT, "in": "query", "schema": limit},
            {
                "name": _CURSOR,
                "in": "query",
                "schema": {"type": "string"},
                "description": "The next_cursor of the page before.",
            },
        ]

    def _limit(self, text: str) -> int:
        if not text:
            return self.default_limit
        limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004
        if not 1 <= limit <= self.max_limit:
            raise _invalid(_LIMIT, f"must be a number from 1 to {self.max_limit}")
        return limit

    def _place(self, row: Model) -> list[str]:
        return [_field(type(row), name).value_to_string(row) for name in self.columns]

    def _after(self, model: type[Model], place: Sequence[str]) -> Q:
        """Return the condition of later rows: smaller in the first column in which they differ."""
        after, same = Q(), Q()
        for name, text in zip(self.columns, place, strict=True):
            value = _field(model, name).to_python(text)
            after |= same & Q(**{f"{name}__lt": value})
            same &= Q(**{name: value})
        # The first column's bound says nothing new; an index is entered by it at the right place.
        first = self.columns[0]
        return after & Q(**{f"{first}__lte": _field(model, first).to_python(place[0])})


def _field(model: type[Model], name: str) -> Any:
    return model._meta.get_field(name)  # noqa: SLF001 - Django's documented Meta API


def _opened(signer: Signer, cursor: str) -> list[str]:
    try:
        return list(signer.unsign_object(cursor))
    except BadSignature as exc:
        raise _invalid(_CURSOR, "must be a next_cursor of this list") from exc


def _invalid(name: str, problem: str) -> FieldInvalid:
    return FieldInvalid(
        f"{name} {problem}.", param=name, errors=[{"pointer": f"/{name}", "message": problem}]
    )
