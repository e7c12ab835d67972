"""That what is stored can be opened, found before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.checks import Error, Tags, register

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
    """Return why stored secrets can't be opened: ``manage.py check --database default``."""
    fault = encrypted.find_fault() if databases else None
    return [Error(fault, hint=HINT, id="llm_proxy.E006")] if fault else []
