"""What a request body may point at: the public web, and nothing else.

LiteLLM and the model providers fetch what a body names, from where they stand and in the
operator's name. So addresses inside, buckets, local files and ids of things in the operator's
account are refused, wherever they stand in a body.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

from gateway_core.errors import FieldForbidden
from llm_proxy.addresses import is_public

# Where a value stands: its step from what holds it, and where that stands. Written out only for
# those who need it, as a path of its own for each value costs depth times values.
_Place: TypeAlias = "tuple[_Place | None, str | int]"
# A list or object with its place and the name it goes by: elements go by the name of their list.
_Waiting: TypeAlias = tuple[Any, "_Place | None", str]

# Strings under these names are said to the model or tell what it is given, and are not fetched,
# whatever they look like.
_TEXT: Final = frozenset(
    {
        "arguments",
        "cited_text",
        "content",
        "description",
        "documents",
        "input",
        "instructions",
        "name",
        "negative_prompt",
        "output",
        "prompt",
        "query",
        "reasoning",
        "reasoning_content",
        "refusal",
        "role",
        "source",
        "stop",
        "stop_sequences",
        "suffix",
        "summary",
        "system",
        "text",
        "thinking",
        "title",
        "type",
    }
)
# Objects under these names are for callers, models and callers' own tools, not for providers.
_OPAQUE: Final = frozenset(
    {
        "action",
        "actions",
        "annotations",
        "arguments",
        "guided_json",
        "input_examples",
        "input_schema",
        "json_schema",
        "logit_bias",
        "output_schema",
        "parameters",
        "schema",
        "structured_outputs",
    }
)
# The gateway offers no files, vector stores or containers: an id of one is somebody else's.
_STORED: Final = frozenset({"file_id", "file_ids", "vector_store_ids"})
_STORED_IN_TOOLS: Final = frozenset({"container", "container_id"})

_SHOWN_CHARACTERS: Final = 200
_CONTAINERS: Final = frozenset({dict, list})
_NOT_NUMBERS: Final = frozenset({dict, list, str})
# Under such names stands what is to be fetched, or the data itself, and nothing else.
_FOR_ADDRESSES: Final = re.compile(r"ur[il]s?\Z", re.IGNORECASE).search
_DATA: Final = "data:"

# Readers of URLs differ in what they overlook: blanks and controls before one all do, tabs and
# line ends within one many (https://url.spec.whatwg.org/#concept-basic-url-parser).
_BLANK: Final = "".join(
    character for character in map(chr, range(0x3001)) if character <= " " or character.isspace()
)
_WITHOUT_CONTROLS: Final = dict.fromkeys(range(ord(" ")))
_SCHEMES: Final = re.compile(
    r"((?:[\0-\x1f]*[A-Za-z][A-Za-z0-9+.\0-\x1f-]*:)+)([\0-\x1f]*[/\\][\0-\x1f]*[/\\])?"
).match
_ADDRESSING: Final = frozenset({"file", "http", "https"})
# ``//host``, told by the dot or colon from base64, where MP3 begins with two slashes.
_WITHOUT_SCHEME: Final = re.compile(r"[/\\][\0-\x1f]*[/\\][^ /\\]*[.:]").match
# LiteLLM takes an address that ends like this for a tool server of its own, whatever the host. Of
# blanks at the end it is rid already: a pattern for them would try each pair of blanks within.
_OF_LITELLM: Final = re.compile(r"/mcp/[^/]*/*\Z").search


def check_references(body: dict[str, Any]) -> None:
    """Walk a body and refuse what points where it must not.

    Raises:
        FieldForbidden: 400, with the place in ``param``.
    """
    waiting = _check_members(body, None)
    while waiting:
        node, place, name = waiting.pop()
        if type(node) is dict:
            waiting += _check_members(node, place)
        elif not _NOT_NUMBERS.isdisjoint(map(type, node)):
            waiting += _check_elements(node, place, name)


def _check_members(node: dict[str, Any], place: _Place | None) -> list[_Waiting]:
    further: list[_Waiting] = []
    for name, value in node.items():
        kind = type(value)
        if kind is str:
            if name not in _TEXT:
                _check_text(value, name, (place, name))
        elif kind in _CONTAINERS and name not in _OPAQUE:
            if value and name in _STORED:
                raise _stored((place, name))
            # The ``input`` of a tool's use is an object; that of a request is a list.
            if name != "input" or kind is list:
                further.append((value, (place, name), name))
    return further


def _check_elements(node: list[Any], place: _Place | None, name: str) -> list[_Waiting]:
    further: list[_Waiting] = []
    for number, value in enumerate(node):
        if type(value) in _CONTAINERS:
            further.append((value, (place, number), name))
        elif type(value) is str and name not in _TEXT:
            _check_text(value, name, (place, number))
    return further


def _check_text(text: str, name: str, place: _Place) -> None:
    if name == "server_url" or (name == "url" and _steps(place)[0] == "mcp_servers"):
        if not is_public(text) or _OF_LITELLM(text.rstrip()):
            raise _refused(place, "Name a tool server by its public https address.")
    elif name in _STORED or (name in _STORED_IN_TOOLS and "tools" in _steps(place)):
        # LiteLLM takes an address in the place of a file's id.
        if text and not is_public(text):
            raise _stored(place)
    elif not _may_be_fetched(text) if _FOR_ADDRESSES(name) else _points_inside(text):
        raise _refused(place, "Give a public http(s) address, or the data itself as a data: URL.")


def _may_be_fetched(text: str) -> bool:
    return not text or text[: len(_DATA)].lower() == _DATA or is_public(text)


def _points_inside(text: str) -> bool:
    """Say whether a text that need not be an address is one, and not to the public web."""
    text = text.lstrip(_BLANK)
    match = _SCHEMES(text)
    if match is None:
        return _WITHOUT_SCHEME(text) is not None
    schemes = match[1].translate(_WITHOUT_CONTROLS).lower().split(":")
    if schemes[0] == "data":
        return False
    is_address = match[2] is not None or not _ADDRESSING.isdisjoint(schemes)
    return is_address and not is_public(text)


def _stored(place: _Place) -> FieldForbidden:
    return _refused(place, "Stored things can't be named here. Send the content itself.")


def _refused(place: _Place, advice: str) -> FieldForbidden:
    shown = ".".join(map(str, _steps(place)))[-_SHOWN_CHARACTERS:]
    return FieldForbidden(f"{shown} may not point there. {advice}", status=400, param=shown)


def _steps(place: _Place) -> list[str | int]:
    steps: list[str | int] = []
    at: _Place | None = place
    while at is not None:
        at, step = at
        steps.append(step)
    return steps[::-1]
