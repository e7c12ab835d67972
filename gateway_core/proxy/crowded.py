"""How many objects, lists and texts a JSON body holds, counted before it is parsed.

orjson parses on the event loop, where everybody waits for it. 20 MiB of one text take it 10 ms and
as much memory; 20 MiB of empty lists a second and 500 MB (measured). What says how much it will be
are the brackets, and they are counted in a hundredth of a second.
"""

from __future__ import annotations

from typing import Final

from gateway_core.errors import RequestMalformed

MOST: Final = 100_000
# Two for each text; of an object's members the names are texts, too.
_MOST_QUOTES: Final = 4 * MOST


def refuse_crowded(body: bytes) -> None:
    """Refuse a JSON text of more than ``MOST`` objects and lists, or twice as many texts.

    Of a text that is not JSON nothing is said but of its beginning, as far as that is.

    Raises:
        RequestMalformed: it holds more.
    """
    if _brackets(body) <= MOST and body.count(b'"') <= _MOST_QUOTES:
        return
    # Within texts they are counted so far, too, as code has many.
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    if unescaped.count(b'"') > _MOST_QUOTES or _brackets(_outside(unescaped)) > MOST:
        raise RequestMalformed(
            f"The body holds more than {MOST} objects, lists and texts. Send less at a time."
        )


def _brackets(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def _outside(text: bytes) -> bytes:
    return b"".join(text.split(b'"')[::2])
