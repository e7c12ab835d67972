"""Agent Files of callers: read within the limits, and refused in the gateway's own errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from gateway_core.errors import BodyTooLarge, FieldInvalid, RequestMalformed
from gateway_core.pooled import give_back_connection
from templates_app.agent_file.loading import load
from templates_app.agent_file.unreadable import TooLarge, Unreadable
from templates_app.agent_file.validation import validate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from templates_app.agent_file.faults import Fault
    from templates_app.agent_file.loading import Loaded


def read_file(content: bytes, media_type: str = "") -> Loaded:
    """Return the values of a file. Looking at them may take long, so the connection is given back.

    Raises:
        BodyTooLarge: it has more bytes than one may have.
        RequestMalformed: it is neither YAML nor JSON, or more than JSON values.
    """
    give_back_connection()
    try:
        return load(content, max_bytes=settings.MAX_TEMPLATE_BYTES, media_type=media_type)
    except TooLarge as exc:
        raise BodyTooLarge(exc.message) from exc
    except Unreadable as exc:
        fault = {"pointer": exc.pointer, "message": exc.message}
        raise RequestMalformed(
            f"The Agent File can't be read. {exc.message}", errors=[fault]
        ) from exc


def require_valid(loaded: Loaded) -> None:
    """Refuse what is no Agent File.

    Raises:
        FieldInvalid: with every fault.
    """
    faults = validate(loaded.document).faults
    if faults:
        raise faults_found(faults)


def faults_found(faults: Sequence[Fault]) -> FieldInvalid:
    """Return the error for one or more faults."""
    first, *others = faults
    more = f" And {len(others)} more: see errors." if others else ""
    return FieldInvalid(
        f"{first.pointer or 'The body'} {first.message}.{more}",
        param=first.pointer,
        errors=[fault.as_dict() for fault in faults],
    )
