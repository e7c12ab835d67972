"""Multipart forms that are filtered while they stream, in constant memory.

Each part is written again under a boundary of our own, with a Content-Disposition made from what
was understood of it: what one parser reads as a forbidden field can't be hidden from the other.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway_core.errors import MediaTypeUnsupported, RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Callable

    FieldCheck = Callable[[str, str | None], None]

_PART_HEADER_BYTES: Final = 8 * 1024
_PARTS: Final = 64
_BOUNDARY_BYTES: Final = 70  # RFC 2046, section 5.1.1
_FIELD_BYTES: Final = 64 * 1024
_MEDIA_TYPE: Final = re.compile(rb"[\w.+-]+/[\w.+-]+(; ?[\w-]+=\"?[\w.+-]+\"?)*").fullmatch
_UNQUOTABLE: Final = re.compile(rb'["\\\x00-\x1f\x7f]')


def boundary_of(content_type: bytes) -> bytes:
    """Return the boundary of a multipart/form-data Content-Type.

    Raises:
        MediaTypeUnsupported: it is another type, or names no boundary or too long a one.
    """
    media_type, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if media_type.lower() != b"multipart/form-data" or not 0 < len(boundary) <= _BOUNDARY_BYTES:
        raise MediaTypeUnsupported("Send the body as multipart/form-data with a boundary.")
    return boundary


class FormFilter:
    """Feed it the caller's bytes; it returns what goes upstream.

    Args:
        boundary: the caller's.
        check: sees the name and value of each field before it goes on, None for the value of a
            file, and raises for what may not pass.
    """

    def __init__(self, boundary: bytes, check: FieldCheck | None) -> None:
        self._boundary = f"gateway-{secrets.token_hex(16)}".encode()
        self._check = check
        self._field = ""
        self._text: bytearray | None = None
        self._out = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._name = bytearray()
        self._value = bytearray()
        self._parts = 0
        self._is_complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._write_head,
                "on_part_data": self._data,
                "on_part_end": self._end_part,
                "on_end": self._complete,
            },
        )

    @property
    def content_type(self) -> str:
        """The Content-Type of what comes out."""
        return f"multipart/form-data; boundary={self._boundary.decode()}"

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes and return the bytes to send.

        Raises:
            RequestMalformed: it is not a multipart form.
            GatewayError: what ``check`` raises.
        """
        try:
            self._parser.write(chunk)
        except MultipartParseError as exc:
            raise RequestMalformed("The body is not a well-formed multipart form.") from exc
        out = bytes(self._out)
        self._out.clear()
        return out

    def end(self) -> bytes:
        """Return the closing boundary.

        Raises:
            RequestMalformed: the form broke off.
        """
        if not self._is_complete:
            raise RequestMalformed("The multipart form ends before its closing boundary.")
        return b"--" + self._boundary + b"--\r\n"

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > _PARTS:
            raise RequestMalformed(f"The form has more than {_PARTS} parts.")
        self._headers = {}

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._grow(self._name, data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._grow(self._value, data[start:end])

    def _grow(self, buffer: bytearray, piece: bytes) -> None:
        buffer += piece
        if len(buffer) > _PART_HEADER_BYTES:
            raise RequestMalformed("A part of the form has too long a header.")

    def _end_header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _write_head(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name")
        if not name:
            raise RequestMalformed("A part of the form has no name.")
        self._field = name.decode("utf-8", "replace")
        self._text = None if b"filename" in options else bytearray()
        if self._check and self._text is None:
            self._check(self._field, None)
        self._out += b"--" + self._boundary
        self._out += b'\r\nContent-Disposition: form-data; name="' + _quoted(name) + b'"'
        if b"filename" in options:
            self._out += b'; filename="' + _quoted(options[b"filename"]) + b'"'
        media_type = self._headers.get(b"content-type", b"").strip()
        if _MEDIA_TYPE(media_type):
            self._out += b"\r\nContent-Type: " + media_type
        self._out += b"\r\n\r\n"

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._text is None:
            self._out += memoryview(data)[start:end]
            return
        self._text += data[start:end]
        if len(self._text) > _FIELD_BYTES:
            raise RequestMalformed(f"The form field {self._field!r} is too long.")

    def _end_part(self) -> None:
        if self._text is not None:
            if self._check:
                self._check(self._field, self._text.decode("utf-8", "replace"))
            self._out += self._text
        self._out += b"\r\n"

    def _complete(self) -> None:
        self._is_complete = True


def _quoted(value: bytes) -> bytes:
    """Escape as the HTML standard does for form-data names, and what escapes for other parsers."""
    return _UNQUOTABLE.sub(lambda found: b"%%%02X" % found[0][0], value)
