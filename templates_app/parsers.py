"""JSON bodies within limits."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from django.conf import settings
from rest_framework.parsers import BaseParser

from gateway_core.errors import BodyTooLarge, RequestMalformed
from templates_app.agent_file.loading import from_json
from templates_app.agent_file.unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping


class BoundedJsonParser(BaseParser):
    """REST framework's own reads any number of bytes, and fails on what is nested deeply."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the values.

        Raises:
            BodyTooLarge, RequestMalformed: as they say.
        """
        del media_type, parser_context
        return json_of(stream.read(settings.MAX_JSON_BYTES + 1), settings.MAX_JSON_BYTES)


def json_of(content: bytes, max_bytes: int) -> Any:
    """Return the values of a JSON body.

    Raises:
        BodyTooLarge, RequestMalformed: as they say.
    """
    if len(content) > max_bytes:
        raise BodyTooLarge(f"The body is larger than {max_bytes} bytes.")
    try:
        return from_json(content.decode())
    except UnicodeDecodeError as exc:
        raise RequestMalformed("The body is not UTF-8 text.") from exc
    except Unreadable as exc:
        raise RequestMalformed(f"The body can't be read. {exc.message}") from exc
