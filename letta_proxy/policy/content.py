"""What a message may carry: text and images that are in it, none that Letta would have to fetch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway_core.errors import FieldForbidden
from letta_proxy.policy.rules import below, invalid, shown

if TYPE_CHECKING:
    from letta_proxy.policy.demands import Demands

_DEEPEST: Final = 32

# The way to a value: that of what holds it (None at the top), and the last step. It is written out
# for errors only: names are the caller's, and as long as they like.
_Way = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Content:
    """Text, or content parts however deep. Measured: Letta fetches image URLs, loopback too."""

    def admit(self, value: Any, pointer: str, _demands: Demands) -> Any:
        """Return it as it is."""
        if isinstance(value, (dict, list)):
            _refuse_fetching(value, (None, pointer), _DEEPEST)
        return value


def _refuse_fetching(holder: dict[str, Any] | list[Any], way: _Way, depth: int) -> None:
    if depth == 0:
        raise invalid(_pointer(way), "is nested too deeply")
    if isinstance(holder, dict):
        _check_part(holder, way)
    for step, item in holder.items() if isinstance(holder, dict) else enumerate(holder):
        if isinstance(item, (dict, list)):
            _refuse_fetching(item, (way, step), depth - 1)


def _check_part(part: dict[str, Any], way: _Way) -> None:
    """Refuse what is named by an address or a file's id, in Letta's form or OpenAI's."""
    for name in ("source", "image_url", "file"):
        source = part.get(name)
        if isinstance(source, dict):
            _check_address(source.get("url"), ((way, name), "url"))
            if source.get("file_id"):
                raise _refusal(((way, name), "file_id"))
    _check_address(part.get("image_url"), (way, "image_url"))


def _check_address(url: Any, way: _Way) -> None:
    if isinstance(url, str) and not url.startswith("data:"):
        raise _refusal(way)


def _pointer(way: _Way) -> str:
    holder, step = way
    return str(step) if holder is None else below(_pointer(holder), str(step))


def _refusal(way: _Way) -> FieldForbidden:
    where = shown(_pointer(way))
    return FieldForbidden(
        f"{where} names an image that is not in the message. Send the image itself, as base64 "
        "(type, media_type and data) or as a data: URL.",
        param=where,
    )
