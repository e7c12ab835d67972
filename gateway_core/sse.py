"""Server-sent events on the relay: whole frames out, an error frame when a stream breaks.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway_core import problem

if TYPE_CHECKING:
    from gateway_core.errors import GatewayError

# What a proxy or a browser must not do to a stream. Letta sends neither header (measured).
ANTI_BUFFERING: Final = (
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
FRAME_END: Final = b"\n\n"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# The last frame of a whole stream, in OpenAI's way, which LiteLLM and Letta follow.
DONE: Final = b"data: [DONE]\n\n"
_HELD_BYTES: Final = 1024 * 1024


def is_event_stream(content_type: str) -> bool:
    """Say whether a Content-Type is that of an event stream."""
    return content_type.lower().startswith("text/event-stream")


class FrameAligner:
    """Cuts a byte stream at the ends of frames, so that a break never leaves half a frame.

    Upstreams write one frame at a time, so nearly every piece passes uncopied. A frame that
    never ends is let through after 1 MiB. What else may end a line, or stand before the first one,
    comes out in the usual way: whoever watches frames has to know only that.
    """

    __slots__ = ("_after_return", "_begins", "_held")

    def __init__(self) -> None:
        self._held = b""
        self._begins = True
        self._after_return = False

    def feed(self, chunk: bytes) -> bytes:
        """Return what may be sent now: whole frames, or nothing yet."""
        if self._after_return or b"\r" in chunk:
            chunk = self._with_newlines(chunk)
        if self._held:
            chunk = self._held + chunk
            self._held = b""
        if self._begins and not _BYTE_ORDER_MARK[:-1].startswith(chunk):
            self._begins = False
            chunk = chunk.removeprefix(_BYTE_ORDER_MARK)
        if chunk.endswith(FRAME_END):
            return chunk
        end = chunk.rfind(FRAME_END)
        if end < 0 and len(chunk) > _HELD_BYTES:
            return chunk
        cut = end + len(FRAME_END) if end >= 0 else 0
        self._held = chunk[cut:]
        return chunk[:cut]

    def rest(self) -> bytes:
        """Return what came after the last frame of a stream that ended by itself."""
        held, self._held = self._held, b""
        return held

    def _with_newlines(self, chunk: bytes) -> bytes:
        if self._after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_return = False
        if chunk:
            self._after_return = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def error_frame(error: GatewayError, request_id: str) -> bytes:
    """Return the in-band end of a stream that broke after its first byte.

    The data is the usual envelope; its ``error`` member is what the OpenAI SDK raises.
    """
    return b"event: error\ndata: " + problem.encode(error, request_id) + b"\n\n"
