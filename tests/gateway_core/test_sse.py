from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.errors import UpstreamInterrupted
from gateway_core.sse import FrameAligner, error_frame, is_event_stream


@given(
    frames=st.lists(st.binary(max_size=20).map(lambda b: re.sub(rb"[\r\n]", b".", b)), max_size=8),
    cuts=st.lists(st.integers(min_value=1, max_value=12), max_size=60),
)
def test_whatever_the_pieces_only_whole_frames_come_out_and_none_is_lost(
    frames: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(b"data: " + frame + b"\n\n" for frame in frames) + b"tail"
    aligner, out, rest = FrameAligner(), b"", stream
    for cut in [*cuts, len(stream)]:
        piece, rest = rest[:cut], rest[cut:]
        if piece:
            out += aligner.feed(piece)
            assert out == b"" or out.endswith(b"\n\n")
    assert out + aligner.rest() == stream


def test_a_whole_frame_passes_uncopied() -> None:
    frame = b"data: 1\n\n"
    assert FrameAligner().feed(frame) is frame


def test_a_frame_that_never_ends_is_let_through_in_bounded_memory() -> None:
    aligner = FrameAligner()
    passed = sum(len(aligner.feed(b"x" * 65536)) for _ in range(64))
    assert passed >= 3 * 1024 * 1024


@given(
    stream=st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"data: 1", b"\xef\xbb\xbf", b"x"])),
    size=st.integers(min_value=1, max_value=9),
)
def test_every_way_to_end_a_line_comes_out_as_the_one_that_watchers_know(
    stream: list[bytes], size: int
) -> None:
    whole = b"".join(stream)
    aligner = FrameAligner()
    pieces = [aligner.feed(whole[at : at + size]) for at in range(0, len(whole), size)]

    came = b"".join(pieces) + aligner.rest()
    expected = re.sub(rb"\r\n?", b"\n", whole).removeprefix(b"\xef\xbb\xbf")
    assert came == expected
    assert all(piece == b"" or piece.endswith(b"\n\n") for piece in pieces)


@pytest.mark.parametrize("end", [b"\r\r", b"\r\n\r\n", b"\n\r\n", b"\r\n\n", b"\n\r"])
def test_a_frame_is_let_go_at_once_however_its_lines_end(end: bytes) -> None:
    assert FrameAligner().feed(b"data: 1" + end + b"data: 2") == b"data: 1\n\n"


def test_the_error_frame_is_one_event_with_the_envelope() -> None:
    frame = error_frame(UpstreamInterrupted('line\nbreak "quoted"'), "req_1")
    assert frame.startswith(b'event: error\ndata: {"type":"urn:gateway:error:upstream_interrupted"')
    assert frame.endswith(b"}\n\n")
    assert frame.count(b"\n") == 3


def test_event_streams_are_known_by_their_media_type() -> None:
    assert is_event_stream("text/event-stream; charset=utf-8")
    assert not is_event_stream("application/json")
