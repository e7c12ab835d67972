"""What a message may carry: text and images that are in it, none that Letta would have to fetch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway_core.errors import FieldForbidden
from letta_proxy.policy.rules import invalid

if TYPE_CHECKING:
    from letta_proxy.policy.demands import Demands

_DEEPEST: Final = 32


@dataclass(frozen=True, slots=True)
class Content:
    """Text, or content parts however deep. Measured: Letta fetches image URLs, loopback too."""

    def admit(self, value: Any, pointer: str, _demands: Demands) -> Any:
        """Return it as it is."""
        _refuse_fetching(value, pointer, _DEEPEST)
        return value


def _refuse_fetching(value: Any, pointer: str, depth: int) -> None:
    if not isinstance(value, (dict, list)):
        return
    if depth == 0:
        raise invalid(pointer, "is nested too deeply")
    if isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_fetching(item, f"{pointer}/{index}", depth - 1)
        return
    for name in ("source", "image_url"):
        _check_source(value.get(name), f"{pointer}/{name}")
    _check_address(value.get("image_url"), f"{pointer}/image_url")
    for name, item in value.items():
        _refuse_fetching(item, f"{pointer}/{name}", depth - 1)


def _check_source(source: Any, pointer: str) -> None:
    """Refuse an image that is named by an address or a file, in Letta's form or OpenAI's."""
    if isinstance(source, dict):
        _check_address(source.get("url"), f"{pointer}/url")
        if source.get("file_id"):
            raise _refusal(f"{pointer}/file_id")


def _check_address(url: Any, pointer: str) -> None:
    if isinstance(url, str) and not url.startswith("data:"):
        raise _refusal(pointer)


def _refusal(pointer: str) -> FieldForbidden:
    return FieldForbidden(
        f"{pointer} names an image that is not in the message. Send the image itself, as base64 "
        "(type, media_type and data) or as a data: URL.",
        param=pointer,
    )
