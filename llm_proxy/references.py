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

_Path: TypeAlias = tuple[str | int, ...]
# A list or object with its path and the name it goes by: elements go by the name of their list.
_Waiting: TypeAlias = tuple[Any, _Path, str]

# Strings under these names are said to the model and not fetched, whatever they look like.
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
        "refusal",
        "source",
        "stop",
        "stop_sequences",
        "suffix",
        "summary",
        "system",
        "text",
        "thinking",
        "title",
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

_NAMED: Final = _STORED | _STORED_IN_TOOLS | {"server_url", "url"}

_SHOWN_CHARACTERS: Final = 200
_CONTAINERS: Final = frozenset({dict, list})
_NOT_NUMBERS: Final = frozenset({dict, list, str})
_SCHEME_CHARACTERS: Final = 32
_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):(//)?").match
# LiteLLM takes an address that ends like this for a tool server of its own, whatever the host.
_OF_LITELLM: Final = re.compile(r"/mcp/[^/]*/*\s*\Z").search


def check_references(body: dict[str, Any]) -> None:
    """Walk a body and refuse what points where it must not.

    Raises:
        FieldForbidden: 400, with the place in ``param``.
    """
    waiting = _check_members(body, ())
    while waiting:
        node, path, name = waiting.pop()
        if type(node) is dict:
            waiting += _check_members(node, path)
        elif not _NOT_NUMBERS.isdisjoint(map(type, node)):
            waiting += _check_elements(node, path, name)


def _check_members(node: dict[str, Any], path: _Path) -> list[_Waiting]:
    further: list[_Waiting] = []
    for name, value in node.items():
        kind = type(value)
        if kind is str:
            if name not in _TEXT and (":" in value[:_SCHEME_CHARACTERS] or name in _NAMED):
                _check_text(value, name, (*path, name))
        elif kind in _CONTAINERS and name not in _OPAQUE:
            if value and name in _STORED:
                raise _stored((*path, name))
            # The ``input`` of a tool's use is an object; that of a request is a list.
            if name != "input" or kind is list:
                further.append((value, (*path, name), name))
    return further


def _check_elements(node: list[Any], path: _Path, name: str) -> list[_Waiting]:
    further: list[_Waiting] = []
    for place, value in enumerate(node):
        if type(value) in _CONTAINERS:
            further.append((value, (*path, place), name))
        elif type(value) is str and name not in _TEXT:
            _check_text(value, name, (*path, place))
    return further


def _check_text(text: str, name: str, path: _Path) -> None:
    if name == "server_url" or (name == "url" and path[0] == "mcp_servers"):
        if not is_public(text) or _OF_LITELLM(text):
            raise _refused(path, "Name a tool server by its public https address.")
    elif name in _STORED or (name in _STORED_IN_TOOLS and "tools" in path):
        # LiteLLM takes an address in the place of a file's id.
        if text and not is_public(text):
            raise _stored(path)
    elif _points_inside(text):
        raise _refused(path, "Give a public http(s) address, or the data itself as a data: URL.")


def _points_inside(text: str) -> bool:
    match = _SCHEME(text[: _SCHEME_CHARACTERS + 2])
    if match is None:
        return False
    scheme = match[1].lower()
    if scheme == "data":
        return False
    is_address = match[2] is not None or scheme in {"file", "http", "https"}
    return is_address and not is_public(text)


def _stored(path: _Path) -> FieldForbidden:
    return _refused(path, "Stored things can't be named here. Send the content itself.")


def _refused(path: _Path, advice: str) -> FieldForbidden:
    place = ".".join(str(step) for step in path)[-_SHOWN_CHARACTERS:]
    return FieldForbidden(f"{place} may not point there. {advice}", status=400, param=place)
