"""That what is stored can be opened, found before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.checks import Error, Tags, register
from django.db import Error as DatabaseError

from gateway_core import encrypted

if TYPE_CHECKING:
    from collections.abc import Sequence

HINT: Final = (
    "Put the keys back that they were encrypted under, behind the newest. Once `manage.py "
    "rotate_encryption` has put all under the newest, the older ones may go."
)


@register(Tags.database)
def check_encrypted_values(
    *, databases: Sequence[str] | None = None, **_options: Any
) -> list[Error]:
    """Return why stored secrets can't be opened: ``manage.py check --database default``.

    A database that is away is told by other checks, and ``migrate`` runs this before any table is.
    """
    if not databases:
        return []
    try:
        fault = encrypted.find_fault()
    except DatabaseError:
        return []
    return [Error(fault.detail, hint=HINT, id="llm_proxy.E006")] if fault else []
