"""What an error message of LiteLLM says of the request, without what it says of the inside."""

from __future__ import annotations

import re
from typing import Final

# What is read of a message, which may quote all of the caller's input, and what is passed on.
_READ_CHARACTERS: Final = 2000
_PASSED_CHARACTERS: Final = 600

# What LiteLLM puts around a provider's words, and what must not be read outside.
_CLEANING: Final = (
    (re.compile(r"\A\{'error': ['\"](.*)['\"]\}\Z", re.DOTALL), r"\1"),
    (
        re.compile(
            r"\s*(LiteLLM: model group|LiteLLM Retried|Deployment Info:|Received Model Group"
            r"|Available Model Group|No fallback|Relevant Issue:).*\Z",
            re.DOTALL,
        ),
        "",
    ),
    (re.compile(r"\b(litellm\.)?[A-Z]\w*(Error|Exception)(:| -)\s*"), ""),
    (re.compile(r"\blitellm\.\w+(:\s*)?"), ""),
    (re.compile(r"\A(/[\w-]+)+:\s+"), ""),
    (re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+"), "[address]"),
    (re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b(:\d+)?"), "[address]"),
    (re.compile(r"\b[A-Za-z][\w-]*(\.[\w-]+)*:\d{3,5}\b"), "[address]"),
    (re.compile(r"\b(sk|gwk|org|proj)[-_][\w.*-]{4,}"), "[key]"),
    (re.compile(r"\b[0-9a-fA-F]{32,}\b"), "[key]"),
)


def readable(message: str) -> str:
    """Return the provider's words: no provider, model group, address, account or key."""
    said = message[:_READ_CHARACTERS]
    for pattern, replacement in _CLEANING:
        said = pattern.sub(replacement, said)
    said = said.strip()
    return said if len(said) <= _PASSED_CHARACTERS else f"{said[: _PASSED_CHARACTERS - 1]}…"
