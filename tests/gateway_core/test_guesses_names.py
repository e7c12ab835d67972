from __future__ import annotations

import time

import pytest

from gateway_core.spelling import meant

_KNOWN = ("agent_name", "tags", "template_id", "use_latest")


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("name", " Did you mean agent_name?"),
        ("Name", " Did you mean agent_name?"),
        ("my_agent_name", " Did you mean agent_name?"),
        ("agentName", " Did you mean agent_name?"),
        ("templateid", " Did you mean template_id?"),
        ("tag", " Did you mean tags?"),
        ("colour", ""),
        ("", ""),
        ("agent_name" * 7, ""),
    ],
)
def test_names_what_is_spelled_alike_or_has_the_same_words(name: str, guess: str) -> None:
    assert meant(name, _KNOWN) == guess


def test_takes_no_time_for_a_long_name() -> None:
    began = time.process_time()
    meant("agent_name" * 100_000, _KNOWN)

    assert time.process_time() - began < 1
