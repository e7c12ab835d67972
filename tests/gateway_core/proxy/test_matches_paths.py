from __future__ import annotations

import posixpath
import re
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway_core.errors import RequestMalformed, ResourceNotFound
from gateway_core.proxy.operations import Catalogue, Operation, split_path


def no_such(method: str, path: str, allowed: frozenset[str]) -> ResourceNotFound:
    return ResourceNotFound(f"{method} {path} {sorted(allowed)}")


CATALOGUE = Catalogue(
    [
        Operation(name="list", method="GET", path="/agents"),
        Operation(name="get", method="GET", path="/agents/{agent_id}"),
        Operation(name="count", method="GET", path="/agents/count"),
        Operation(
            name="block",
            method="PATCH",
            path="/agents/{agent_id}/blocks/{label}",
            upstream_path="/v1/agents/{agent_id}/core-memory/blocks/{label}",
        ),
    ],
    refuse=no_such,
)


def test_parameters_are_named_and_quoted_again() -> None:
    operation, params = CATALOGUE.match("PATCH", split_path(b"/agents/a-1/blocks/my%20label%C3%A9"))
    assert params == {"agent_id": "a-1", "label": "my labelé"}
    assert operation.target(params) == "/v1/agents/a-1/core-memory/blocks/my%20label%C3%A9"


def test_a_literal_wins_over_a_parameter() -> None:
    assert CATALOGUE.match("GET", ("agents", "count"))[0].name == "count"


def test_a_refusal_knows_the_methods_of_the_path() -> None:
    with pytest.raises(ResourceNotFound, match=r"DELETE /agents \['GET'\]"):
        CATALOGUE.match("DELETE", ("agents",))


def test_two_operations_may_not_share_a_method_and_path() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        Catalogue(
            [
                Operation(name="a", method="GET", path="/x/{one}"),
                Operation(name="b", method="GET", path="/x/{two}"),
            ],
            refuse=no_such,
        )


def test_an_encoded_slash_belongs_to_a_name_where_names_have_them() -> None:
    raw = b"/models/openai%2fgpt-5"
    assert split_path(raw, names_have_slashes=True) == ("models", "openai/gpt-5")
    with pytest.raises(RequestMalformed):
        split_path(raw)
    for other in (b"/models/%2e%2e", b"/models/a%5cb", b"/models/a%252fb", b"/models/a%0d"):
        with pytest.raises(RequestMalformed):
            split_path(other, names_have_slashes=True)


def test_no_name_with_slashes_can_go_upstream() -> None:
    into_path = Operation(name="a", method="GET", path="/models/{model}")
    with pytest.raises(ValueError, match="upstream's path"):
        Catalogue([into_path], refuse=no_such, names_have_slashes=True)


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=5))
def test_a_path_is_refused_or_comes_back_segment_by_segment(segments: list[str]) -> None:
    raw = "/" + "/".join(quote(segment, safe="", errors="surrogatepass") for segment in segments)
    try:
        assert split_path(raw.encode()) == tuple(segments)
    except RequestMalformed:
        ambiguous = set("/\\%;?#\x7f") | {chr(code) for code in range(32)}
        assert any(
            not segment.strip(".")
            or ambiguous & set(segment)
            or any(0xD800 <= ord(letter) <= 0xDFFF for letter in segment)
            for segment in segments
        )


@given(st.binary(max_size=60))
def test_no_bytes_give_a_segment_that_another_parser_could_read_otherwise(raw: bytes) -> None:
    try:
        segments = split_path(raw)
    except RequestMalformed:
        return
    for segment in segments:
        assert segment not in ("", ".", "..")
        assert not set("/\\%;?#\x00\r\n") & set(segment)


_PIECES = st.sampled_from(
    [
        *(
            b"/",
            b"//",
            b"agents",
            b"a-1",
            b"blocks",
            b"count",
            b".",
            b"..",
            b"%2e",
            b"%2E%2e",
            b"%2f",
        ),
        *(b"%252f", b"%5c", b"\\", b";x=1", b"%3B", b"%00", b"%0d%0a", b"?", b"%3f", b"#", b"%23"),
        *(
            b"%C0%AE",
            b"%c0%af",
            b"%ef%bc%8f",
            b"%E2%80%AE",
            b"\xc3\xa9",
            b"%C3%A9",
            b"%",
            b"%4",
            b"%zz",
        ),
        *(
            b" ",
            b"+",
            b"%20",
            b"~",
            b"%7e",
            b"\xff",
            b"%61gents",
            b"{agent_id}",
            b"@",
            b":80",
            b"*",
        ),
    ]
)


_BEGINNINGS = st.sampled_from([b"", b"/agents/", b"/agents/a-1/blocks/"])


@given(_BEGINNINGS, st.lists(_PIECES, max_size=6).map(b"".join))
@example(b"/agents/a-1/blocks/", b"%C3%A9%20x")
def test_what_goes_upstream_names_the_same_segments_to_every_parser(
    beginning: bytes, rest: bytes
) -> None:
    raw = beginning + rest
    for method in ("GET", "PATCH"):
        try:
            operation, params = CATALOGUE.match(method, split_path(raw))
        except (RequestMalformed, ResourceNotFound):
            continue
        target = operation.target(params)

        assert re.fullmatch(r"(/([\w.~-]|%[0-9A-F]{2})+)+", target, re.ASCII)
        assert urlsplit(target).path == target == posixpath.normpath(target)
        once = unquote(target, errors="strict")
        assert unquote(once) == once  # whoever decodes twice gets no further
        template = (operation.upstream_path or operation.path).split("/")
        assert once.split("/") == [segment.format_map(params) for segment in template]
        assert split_path(target.encode()) == tuple(once.split("/")[1:])
