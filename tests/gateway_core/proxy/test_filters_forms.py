from __future__ import annotations

import contextlib
import email
import email.policy
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from python_multipart.multipart import parse_options_header

from gateway_core.errors import FieldForbidden, MediaTypeUnsupported, RequestMalformed
from gateway_core.proxy.form import FormFilter, boundary_of


def form(*parts: tuple[bytes, bytes], boundary: bytes = b"abc") -> bytes:
    body = b"".join(b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary, head, data) for head, data in parts)
    return body + b"--" + boundary + b"--\r\n"


def field(name: bytes, data: bytes = b"x") -> tuple[bytes, bytes]:
    return b'Content-Disposition: form-data; name="' + name + b'"', data


def only_file(name: str, _value: str | None) -> None:
    if name != "file":
        raise FieldForbidden("no", param=name)


def parsed(form_filter: FormFilter, body: bytes) -> dict[str, Any]:
    head = f"Content-Type: {form_filter.content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        for part in message.iter_parts()
    }


@given(
    values=st.dictionaries(
        st.text("abcdefgh_", min_size=1, max_size=8), st.binary(max_size=300), max_size=5
    ),
    size=st.integers(min_value=1, max_value=50),
)
def test_every_field_arrives_as_it_was_whatever_the_pieces(
    values: dict[str, bytes], size: int
) -> None:
    body = form(*(field(name.encode(), data) for name, data in values.items()), boundary=b"q-9-q")
    form_filter = FormFilter(b"q-9-q", None)
    if not values:
        return
    out = b"".join(form_filter.feed(body[i : i + size]) for i in range(0, len(body), size))
    assert parsed(form_filter, out + form_filter.end()) == values


def test_a_field_that_may_not_pass_is_refused_by_name() -> None:
    form_filter = FormFilter(b"abc", only_file)
    with pytest.raises(FieldForbidden) as refused:
        form_filter.feed(form(field(b"file"), field(b"api_base", b"http://evil")))
    assert refused.value.param == "api_base"


@pytest.mark.parametrize(
    "head",
    [
        b'Content-Disposition: form-data; name="file"; name="api_base"',
        b'Content-Disposition: form-data; name="file"\r\nContent-Disposition: f; name="api_base"',
        b"Content-Disposition: form-data; name*=utf-8''api_base; name=\"file\"",
        b'Content-Disposition: form-data; name="file"\r\nX-Other: name="api_base"',
    ],
)
def test_what_goes_on_is_what_was_understood(head: bytes) -> None:
    understood: list[str] = []
    form_filter = FormFilter(b"abc", lambda name, _value: understood.append(name))
    out = form_filter.feed(form((head, b"x"))) + form_filter.end()
    assert list(parsed(form_filter, out)) == understood
    assert len(understood) == 1
    assert b"X-Other" not in out


def test_a_name_cant_break_out_of_its_header() -> None:
    form_filter = FormFilter(b"abc", None)
    out = form_filter.feed(form(field(b'a\\"; filename=\\"b'))) + form_filter.end()
    assert out.count(b"Content-Disposition") == 1
    assert b'"a"' not in out


_HOSTILE = st.text('ab\\";=*% \r\n\t\0\x7fé\u2028', min_size=1, max_size=12)


@given(name=_HOSTILE, filename=st.none() | _HOSTILE)
@example(name="a\\", filename="; name=model; b=")
def test_every_parser_reads_the_names_that_were_checked(name: str, filename: str | None) -> None:
    def quoted(text: str) -> bytes:
        return text.replace("\\", "\\\\").replace('"', '\\"').encode()

    understood: list[tuple[str, bool]] = []
    form_filter = FormFilter(b"abc", lambda name, value: understood.append((name, value is None)))
    head = b'Content-Disposition: form-data; name="%s"' % quoted(name)
    if filename is not None:
        head += b'; filename="%s"' % quoted(filename)
    try:
        out = form_filter.feed(form((head, b"x"))) + form_filter.end()
    except RequestMalformed:
        return

    line = out.split(b"\r\n")[1]
    assert not re.search(rb"[\x00-\x1f\x7f\\]", line)
    strict = re.fullmatch(
        rb'Content-Disposition: form-data; name="([^"]+)"(; filename="[^"]*")?', line
    )
    assert strict
    escaped = _escaped(understood[0][0])
    assert (strict[1].decode(), strict[2] is not None) == (escaped, understood[0][1])
    assert parse_options_header(line)[1][b"name"].decode() == escaped
    if "*" not in escaped:  # RFC 2231, which Python's mail parser follows wherever it sees a star
        assert list(parsed(form_filter, out)) == [escaped]


def _escaped(name: str) -> str:
    return re.sub(r'["\\\x00-\x1f\x7f]', lambda found: f"%{ord(found[0]):02X}", name)


@pytest.mark.parametrize(
    "body",
    [
        b"not a form",
        b'--abc\r\nContent-Disposition: form-data; name="' + b"n" * 9000 + b'"\r\n\r\nx\r\n',
        b"--abc\r\nContent-Type: text/plain\r\n\r\nx\r\n--abc--\r\n",
        form(*(field(b"f%d" % i) for i in range(65))),
    ],
)
def test_a_form_that_is_broken_or_absurd_is_refused(body: bytes) -> None:
    form_filter = FormFilter(b"abc", None)
    with pytest.raises(RequestMalformed):
        form_filter.feed(body)


@pytest.mark.parametrize(
    "given_type",
    [
        b"application/json",
        b"multipart/form-data",
        b"",
        b"multipart/form-data; boundary=" + b"x" * 71,
        b"multipart/form-data; boundary*=utf-8''x",
    ],
)
def test_a_form_needs_its_media_type_and_a_boundary(given_type: bytes) -> None:
    with pytest.raises(MediaTypeUnsupported):
        boundary_of(given_type)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_field_is_checked_with_its_whole_value_before_any_of_it_goes_on(size: int) -> None:
    seen: list[tuple[str, str | None]] = []

    def check(name: str, value: str | None) -> None:
        seen.append((name, value))
        if value == "two,models":
            raise FieldForbidden("no", param=name)

    form_filter = FormFilter(b"abc", check)
    file = b'Content-Disposition: form-data; name="file"; filename="a.wav"', b"RIFF"
    body = form(file, field(b"model", b"two,models"))
    out = bytearray()

    def feed() -> None:
        for start in range(0, len(body), size):
            out.extend(form_filter.feed(body[start : start + size]))

    with pytest.raises(FieldForbidden):
        feed()
    assert seen == [("file", None), ("model", "two,models")]
    assert b"two" not in out


@given(body=st.binary(max_size=400), size=st.integers(1, 50), framed=st.booleans())
def test_any_bytes_are_filtered_or_refused(body: bytes, size: int, framed: bool) -> None:  # noqa: FBT001 - drawn
    body = form(field(b"file", body), (body, b"x")) if framed else body
    form_filter = FormFilter(b"abc", only_file)
    with contextlib.suppress(RequestMalformed, FieldForbidden):
        for start in range(0, len(body), size):
            form_filter.feed(body[start : start + size])
        form_filter.end()


def test_a_field_of_absurd_length_is_refused() -> None:
    with pytest.raises(RequestMalformed, match="too long"):
        FormFilter(b"abc", None).feed(form(field(b"model", b"x" * 70_000)))
