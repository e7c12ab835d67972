"""The shape of Agent Files, and of what stands at one place of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

SHAPE: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "schema.json").read_text(encoding="utf-8")
)


def part(*names: str) -> dict[str, Any]:
    """Return the schema of a member, or of the items of a list, that these names lead to."""
    schema = SHAPE
    for name in names:
        schema = schema["items"] if name == "*" else schema["properties"][name]
    return {"$defs": SHAPE["$defs"], **schema}
