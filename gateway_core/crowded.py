"""How many objects, lists, texts and other values a JSON body holds, counted before it is parsed.

orjson parses on the event loop, where everybody waits for it. 20 MiB of one text take it 10 ms and
as much memory; 20 MiB of empty lists a second and 500 MB, of numbers 0.3 s and 250 MB. The control
plane, which looks at each value, takes many seconds and 400 MB for 16 MiB of empty objects.
What says how much it will be are brackets, quotes and commas, and they are counted in a tenth of a
second at most.
"""

from __future__ import annotations

from typing import Final

from gateway_core.errors import RequestMalformed

MOST: Final = 100_000


def refuse_crowded(body: bytes, *, most: int = MOST) -> None:
    """Refuse a JSON text of more than ``most`` objects and lists, or a few times as many values.

    Of a text that is not JSON nothing is said but of its beginning, as far as that is.

    Raises:
        RequestMalformed: it holds more.
    """
    if not (_has_many_texts(body, most) or _is_crowded(body, most)):
        return
    # Within texts they are counted so far, too, as code has many.
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    # Texts first: it takes an object for each to tell what is outside of them.
    if _has_many_texts(unescaped, most) or _is_crowded(b"".join(unescaped.split(b'"')[::2]), most):
        raise RequestMalformed(
            f"The body holds more than {most} objects and lists, {2 * most} texts, or {5 * most} "
            "values. Send less at a time."
        )


def _has_many_texts(text: bytes, most: int) -> bool:
    # Two quotes for each; of an object's members the names are texts, too.
    return text.count(b'"') > 4 * most


def _is_crowded(outside: bytes, most: int) -> bool:
    """Say so of what is outside of quotes."""
    # One comma less than the values of a list: room for the 300,000 tokens that embeddings take at
    # once.
    return outside.count(b"[") + outside.count(b"{") > most or outside.count(b",") > 5 * most
