from __future__ import annotations

import time
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.errors import FieldForbidden
from llm_proxy.addresses import is_public
from llm_proxy.references import check_references

PUBLIC = "https://example.com/cat.png"
METADATA = "http://169.254.169.254/latest/meta-data/"

INSIDE = [
    "http://localhost/",
    "http://LOCALHOST:8000",
    "http://localhost./",
    "http://a.localhost/",
    "http://127.0.0.1:4000/key/list",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f.0.0.1/",
    "http://0x7F000001/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://127.0.0.1./",
    "http://0.0.0.0/",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    METADATA,
    "http://224.0.0.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fd00::1]/",
    "http://[fe80::1%25eth0]/",
    "http://postgres:5432/",
    "http://litellm/",
    "http://litellm.default.svc/",
    "http://litellm.default.svc.cluster.local/",
    "http://metadata.google.internal/",
    "http://printer.home.arpa/",
    "http://user@example.com/",
    "http://example.com@127.0.0.1/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\\.example.com/",
    "http://\uff11\uff12\uff17.0.0.1/",  # full-width digits
    "http://exa%6dple.com/",
    "http://example.com:99999/",
    "http:///etc/passwd",
    "http:127.0.0.1",
    "https://",
    "ftp://example.com/x",
    "file:///etc/passwd",
    "FILE:/etc/passwd",
    "  file:///etc/passwd",
    "gs://bucket/secret.png",
    "s3://bucket/secret.png",
    "gopher://example.com/",
    " " * 40 + "http://127.0.0.1/",
    "\u2003http://127.0.0.1/",
    "ht\ntp://127.0.0.1/",
    "h" + "\n" * 1000 + "ttp://127.0.0.1/",
    "http:/\t/127.0.0.1/",
    "http:\\\\127.0.0.1\\",
    "http://127.0.0.1\n.example.com/",
    "\x01http://127.0.0.1",
    "//127.0.0.1/",
    "/\t/127.0.0.1/",
    "\\\\127.0.0.1\\share",
    "view:http://127.0.0.1",
    "view:\nhttp:127.0.0.1",
    "x" * 40 + "://127.0.0.1",
]


def part(url: str) -> dict[str, Any]:
    content = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    return {"messages": [{"role": "user", "content": content}]}


def place_of(body: dict[str, Any]) -> str | None:
    """Return where the body is refused, or None when it passes."""
    try:
        check_references(body)
    except FieldForbidden as error:
        return error.param if error.status == 400 else "wrong status"
    return None


@pytest.mark.parametrize("url", INSIDE)
def test_refuses_an_image_that_is_not_on_the_public_web(url: str) -> None:
    assert place_of(part(url)) == "messages.0.content.1.image_url.url"


@pytest.mark.parametrize(
    "url",
    [
        PUBLIC,
        "http://example.com:8080/a?b=c#d",
        "https://EXAMPLE.com./a",
        "https://8.8.8.8/x.png",
        "https://[2606:4700::1111]/x.png",
        "https://xn--bcher-kva.example/x",
        "https://example.com/two words.png",
        "data:image/png;base64,iVBORw0KGgo=",
        "",
    ],
)
def test_lets_public_images_and_data_pass(url: str) -> None:
    assert place_of(part(url)) is None


@pytest.mark.parametrize("url", INSIDE)
def test_refuses_an_address_that_is_not_on_the_public_web_under_any_name(url: str) -> None:
    assert place_of({"images": [url]}) == "images.0"


@pytest.mark.parametrize(
    "name", ["url", "image_url", "file_url", "audio_url", "video_url", "fileUri", "image_urls"]
)
@pytest.mark.parametrize("value", ["iVBORw0KGgo=", "/etc/passwd", "//localhost/x", "cat.png", " "])
def test_wants_an_address_or_data_under_the_name_of_an_address(name: str, value: str) -> None:
    assert place_of({"messages": [{name: value}]}) == f"messages.0.{name}"
    assert place_of({"messages": [{name: [value]}]}) == f"messages.0.{name}.0"


@pytest.mark.parametrize(
    "value",
    [
        "iVBORw0KGgoAAAANSUhEUgAA",
        "//uQxAAAAAAAAAAAAAAAAAAAAAAASW5mbwAAAA8=",  # MP3
        "data:audio/mp3;base64,//uQxAAA",
        "notes: july.pdf",
        "C:\\notes.pdf",
        "12:30",
    ],
)
def test_lets_what_is_no_address_pass_elsewhere(value: str) -> None:
    assert place_of({"messages": [{"input_audio": {"data": value}}]}) is None


@given(st.data())
def test_nothing_that_readers_of_urls_overlook_hides_an_address(data: st.DataObject) -> None:
    before = data.draw(st.text(st.sampled_from([chr(code) for code in range(0x21)]), max_size=50))
    within = st.text(st.sampled_from("\t\n\r"), max_size=3)
    url = before + "".join(
        letter + data.draw(within) for letter in data.draw(st.sampled_from(["http", "FILE", "s3"]))
    )
    url += "".join(letter + data.draw(within) for letter in "://127.0.0.1/")
    assert place_of(part(url)) == "messages.0.content.1.image_url.url"
    assert place_of({"images": [url]}) == "images.0"


@given(st.text(max_size=60))
def test_what_passes_as_an_address_is_data_or_begins_as_one_of_the_web(url: str) -> None:
    if place_of(part(url)) is None:
        assert not url or url.strip().lower().startswith(("data:", "http://", "https://"))


@given(st.integers(0, 2**32 - 1))
def test_no_notation_of_an_ipv4_address_hides_one_that_is_inside(number: int) -> None:
    address = IPv4Address(number)
    first, *rest = address.packed
    low = int.from_bytes(bytes(rest))
    for host in (str(address), str(number), hex(number), f"{first}.{low}", f"0x{first:x}.{low}"):
        is_outside = is_public(f"http://{host}/")
        assert not is_outside or (address.is_global and host == str(address))


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"input": [{"content": [{"type": "input_image", "image_url": METADATA}]}]},
         "input.0.content.0.image_url"),
        ({"input": [{"content": [{"type": "input_file", "file_url": METADATA}]}]},
         "input.0.content.0.file_url"),
        ({"input": [{"type": "function_call_output", "output": [{"image_url": METADATA}]}]},
         "input.0.output.0.image_url"),
        ({"messages": [{"content": [{"source": {"type": "url", "url": METADATA}}]}]},
         "messages.0.content.0.source.url"),
        ({"messages": [{"content": [{"file": {"file_data": "file:///etc/passwd"}}]}]},
         "messages.0.content.0.file.file_data"),
        ({"messages": [{"images": [METADATA]}]}, "messages.0.images.0"),
        ({"messages": [{"content": [{"video_url": {"url": METADATA}}]}]},
         "messages.0.content.0.video_url.url"),
        ({"input": [{"type": "image_url", "image_url": {"url": METADATA}}]},
         "input.0.image_url.url"),
        ({"documents": [{"image": METADATA}]}, "documents.0.image"),
        ({"x" * 1000: METADATA}, "x" * 200),
    ],
)  # fmt: skip
def test_finds_addresses_wherever_they_stand(body: dict[str, Any], place: str) -> None:
    assert place_of(body) == place


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "http://localhost:3000 is blank, why?"}]},
        {"messages": [{"content": [{"type": "text", "text": "file:///etc/passwd"}]}]},
        {"system": "http://localhost", "prompt": ["http://localhost"]},
        {"input": "http://127.0.0.1/"},
        {"input": ["http://127.0.0.1/", "gs://x"], "documents": ["http://10.0.0.1"]},
        {"input": [[1, 2, 3], [4, 5]]},
        {"tools": [{"function": {"parameters": {"default": "http://localhost"}}}]},
        {"messages": [{"content": [{"type": "tool_use", "input": {"url": "http://localhost"}}]}]},
        {"messages": [{"tool_calls": [{"function": {"arguments": "http://localhost"}}]}]},
        {"input": [{"type": "computer_call", "action": {"url": "http://localhost:3000"}}]},
        {"messages": [{"role": "assistant", "reasoning_content": "http://localhost is blank"}]},
        {"messages": [{"content": [{"file": {"filename": "notes: july.pdf"}}]}]},
        {"response_format": {"json_schema": {"schema": {"const": "http://localhost"}}}},
    ],
)  # fmt: skip
def test_lets_texts_say_what_they_like(body: dict[str, Any]) -> None:
    assert place_of(body) is None


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"messages": [{"content": [{"file": {"file_id": "file-abc"}}]}]},
         "messages.0.content.0.file.file_id"),
        ({"input": [{"content": [{"type": "input_image", "file_id": "file-abc"}]}]},
         "input.0.content.0.file_id"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
         "tools.0.vector_store_ids"),
        ({"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, "tools.0.container"),
        ({"tools": [{"type": "code_interpreter", "container": {"file_ids": ["file-1"]}}]},
         "tools.0.container.file_ids"),
        ({"tools": [{"type": "shell", "environment": {"container_id": "cntr_1"}}]},
         "tools.0.environment.container_id"),
    ],
)  # fmt: skip
def test_refuses_what_is_stored_in_the_operators_account(body: dict[str, Any], place: str) -> None:
    assert place_of(body) == place


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"content": [{"file": {"file_id": PUBLIC}}]}]},
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": []}}]},
        {"input": [{"type": "code_interpreter_call", "container_id": "cntr_1", "code": "1"}]},
        {"input": [{"content": [{"text": "x", "annotations": [{"file_id": "file-1"}]}]}]},
    ],
)
def test_lets_what_a_model_made_in_the_conversation_pass(body: dict[str, Any]) -> None:
    assert place_of(body) is None


@pytest.mark.parametrize(
    "server",
    [
        "litellm_proxy",
        "litellm_proxy/mcp/github",
        "https://evil.example/mcp/github",
        "https://evil.example/mcp/github/",
        "https://evil.example/mcp/github// \u00a0",
        "https://evil.example/mcp/ ",
        "http://127.0.0.1:8000/mcp",
        "ws://example.com/mcp",
    ],
)
def test_refuses_litellms_own_tool_servers_and_those_inside(server: str) -> None:
    assert place_of({"tools": [{"type": "mcp", "server_url": server}]}) == "tools.0.server_url"
    assert place_of({"mcp_servers": [{"type": "url", "url": server}]}) == "mcp_servers.0.url"


def test_lets_public_tool_servers_pass() -> None:
    server = "https://mcp.example.com/mcp"
    assert place_of({"tools": [{"type": "mcp", "server_url": server}]}) is None
    assert place_of({"mcp_servers": [{"type": "url", "url": server}]}) is None


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/mcp/a" + "\u00a0" * 40_000 + "/x",
        "https://example.com" + "/mcp/" * 40_000 + "/x/y",
        "https://example.com/mcp/" + "/" * 40_000 + "x",
        "a:" * 40_000 + "/",
        "\x01a\x01:" * 40_000,
        "/" + "\x01" * 40_000,
        "//" + "a" * 40_000,
    ],
    ids=["blanks", "names", "slashes", "schemes", "controls", "control", "host"],
)
def test_reads_texts_in_time_by_their_length(text: str) -> None:
    """The event loop stands still meanwhile, and a body may have texts of 20 MiB."""
    begun = time.thread_time()
    place_of({"tools": [{"type": "mcp", "server_url": text}], "messages": [{"x": text}]})
    assert time.thread_time() - begun < 5  # what tries each pair of characters takes minutes
