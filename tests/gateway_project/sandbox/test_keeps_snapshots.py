from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway_project.sandbox.snapshot import Snapshot


class Counter:
    value = 0

    def as_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load(self, values: dict[str, Any]) -> None:
        self.value = values["value"]


async def test_reads_back_what_was_written_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    first = Counter()
    async with Snapshot(first, path).lifespan(None):
        first.value = 42
    second = Counter()
    Snapshot(second, path)

    assert second.value == 42
    assert path.stat().st_mode & 0o777 == 0o600


def test_writes_only_changes(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    counter = Counter()
    snapshot = Snapshot(counter, path)
    snapshot.write()
    path.unlink()
    snapshot.write()
    assert not path.exists()
    counter.value = 7
    snapshot.write()
    assert json.loads(path.read_text()) == {"value": 7}


async def test_keeps_nothing_without_a_path() -> None:
    async with Snapshot(Counter(), None).lifespan(None):
        pass
