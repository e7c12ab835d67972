from __future__ import annotations

from typing import Any

import pytest

from gateway_core.errors import ResourceNotFound, UpstreamAnswerInvalid
from llm_proxy.describe import _pick

LISTING = {"data": [{"id": "stub/*"}, {"id": "stub/fast", "owned_by": "us"}, {"id": "odd[1]"}]}


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("stub/fast", {"id": "stub/fast", "owned_by": "us"}),
        ("stub/slow", {"id": "stub/slow"}),
        ("odd[1]", {"id": "odd[1]"}),
    ],
)
def test_prefers_the_model_itself_to_a_pattern(name: str, entry: dict[str, Any]) -> None:
    assert _pick(name, LISTING) == entry


@pytest.mark.parametrize("name", ["stub", "STUB/fast", "odd1x"])
def test_finds_no_other(name: str) -> None:
    with pytest.raises(ResourceNotFound):
        _pick(name, LISTING)


@pytest.mark.parametrize("listing", [None, [], {}, {"data": None}, {"data": [{}]}, {"data": [1]}])
def test_refuses_what_is_no_list_of_models(listing: Any) -> None:
    with pytest.raises(UpstreamAnswerInvalid):
        _pick("stub/fast", listing)
