"""What is kept of a path is for anybody to read."""

from __future__ import annotations

import pytest

from gateway_core.context import shown_path

SECRET = "A" * 70
PROXY = "/api/v1/agents/0b8f2c1e-8d0a-4a53-9d0a-1f2e3d4c5b6a/proxy"


@pytest.mark.parametrize(
    "path",
    [
        f"{PROXY}/gws_{SECRET}/chat/completions",
        f"{PROXY}/gws_{SECRET}",
        f"{PROXY}//gws_{SECRET}/models",
        f"{PROXY}//{SECRET}/models",
        f"{PROXY}/%67ws_{SECRET}/models",
        f"{PROXY}gws_{SECRET}",
        f"{PROXY}/GWS_{SECRET}",
        f"/api/v1/llm/models/gwk_{SECRET}",
        f"/gws_{SECRET}",
        f"{'/x' * 250}/gws_{SECRET}",
    ],
)
def test_hides_secrets_wherever_they_stand(path: str) -> None:
    assert SECRET[:20] not in shown_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/llm/v1/chat/completions",
        f"{PROXY}/chat/completions",
        f"{PROXY}/agents/agent-0b8f2c1e-8d0a-4a53-9d0a-1f2e3d4c5b6a/embeddings",
        "/api/v1/letta/agents/gw",
    ],
)
def test_leaves_all_else_as_it_is(path: str) -> None:
    assert shown_path(path) == path


def test_keeps_no_more_than_a_path_needs() -> None:
    assert len(shown_path("/x" * 1000)) == 512
