"""JSON bodies that are stored: read as strictly as Agent Files are."""

from __future__ import annotations

from typing import Any

from gateway_core.crowded import refuse_crowded
from gateway_core.errors import RequestMalformed
from templates_app.agent_file.loading import from_json
from templates_app.agent_file.unreadable import Unreadable


def json_of(content: bytes) -> Any:
    """Return the values of a JSON body.

    Raises:
        RequestMalformed: it can't be read, or holds too much.
    """
    refuse_crowded(content)
    try:
        return from_json(content.decode())
    except UnicodeDecodeError as exc:
        raise RequestMalformed("The body is not UTF-8 text.") from exc
    except Unreadable as exc:
        raise RequestMalformed(f"The body can't be read. {exc.message}") from exc
