"""Multipart uploads, counted and hashed while they arrive and kept nowhere."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway_project.sandbox.letta.problems import DetailError, missing

if TYPE_CHECKING:
    from starlette.requests import Request

_KEPT_BYTES: Final = 4096
_TYPES: Final = (
    "text/",
    "application/json",
    "application/pdf",
    "application/x-",
    "application/xml",
)
_GENERIC: Final = frozenset({"", "application/octet-stream"})


@dataclass(slots=True)
class Upload:
    """The part named ``file`` of an upload."""

    name: str = ""
    media_type: str = ""
    size_bytes: int = 0
    beginning: bytearray = field(default_factory=bytearray)
    digest: Any = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        """The digest of all its bytes, in hexadecimal."""
        return str(self.digest.hexdigest())

    @property
    def text(self) -> str:
        """Its beginning as text."""
        return self.beginning.decode(errors="replace")

    def take(self, data: bytes) -> None:
        """Count a piece."""
        self.size_bytes += len(data)
        self.digest.update(data)
        self.beginning += data[: max(0, _KEPT_BYTES - len(self.beginning))]


class _Reader:
    """Callbacks of the parser: watches for the part named ``file``."""

    def __init__(self) -> None:
        self.upload: Upload | None = None
        self._headers: dict[bytes, bytes] = {}
        self._field = b""
        self._value = b""
        self._inside = False

    def on_part_begin(self) -> None:
        self._headers = {}
        self._inside = False

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if options.get(b"name") == b"file" and b"filename" in options:
            name = options[b"filename"].decode(errors="replace")
            told = self._headers.get(b"content-type", b"").decode("latin-1").partition(";")[0]
            guessed = mimetypes.guess_type(name)[0] or "text/plain"
            self.upload = Upload(name, guessed if told in _GENERIC else told)
            self._inside = True

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._inside and self.upload:
            self.upload.take(data[start:end])


async def receive(request: Request) -> Upload:
    """Read a multipart body to its end.

    Raises:
        InvalidError: there is no part named ``file``.
        DetailError: 400, the body is not multipart.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    if b"boundary" not in options:
        raise missing("body", "file")
    reader = _Reader()
    names = [name for name in dir(reader) if name.startswith("on_")]
    callbacks: Any = {name: getattr(reader, name) for name in names}
    parser = MultipartParser(options[b"boundary"], callbacks)
    try:
        async for chunk in request.stream():
            parser.write(chunk)
        parser.finalize()
    except FormParserError as exc:
        raise DetailError(400, "There was an error parsing the body") from exc
    if reader.upload is None:
        raise missing("body", "file")
    return reader.upload


def check_type(upload: Upload) -> None:
    """Refuse what can't be parsed into text.

    Raises:
        DetailError: 415.
    """
    if not upload.media_type.startswith(_TYPES):
        raise DetailError(
            415,
            f"Unsupported file type: {upload.media_type} (filename: {upload.name}). Supported "
            "types: PDF, text files (.txt, .md), JSON, and code files (.py, .js, .java, etc.).",
        )
