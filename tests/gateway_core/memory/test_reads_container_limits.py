from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway_core.memory.container import Container, Memory

_UNLIMITED_V1 = "9223372036854771712"


@dataclass
class Kernel:
    """Files as the kernel shows them to a process."""

    root: Path

    @property
    def proc(self) -> Path:
        return self.root / "proc"

    def tell(self, groups: str, mounts: list[tuple[str, str, str]]) -> None:
        """Say which groups the process is in, and what is mounted: kind, root, options."""
        self.proc.mkdir()
        (self.proc / "cgroup").write_text(groups)
        lines = ["22 1 0:19 / / rw,relatime shared:1 - ext4 /dev/root rw"]
        lines += [
            f"3{number} 22 0:2{number} {root} {self.place(kind)} ro,nosuid shared:9 - "
            f"{kind} {kind} {options}"
            for number, (kind, root, options) in enumerate(mounts)
        ]
        (self.proc / "mountinfo").write_text("\n".join(lines) + "\n")

    def place(self, kind: str) -> Path:
        return self.root / kind

    def group(self, kind: str, path: str = "", **files: str) -> None:
        folder = self.place(kind) / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / f"memory.{name}").write_text(f"{text}\n")

    def memory(self) -> Memory | None:
        return Container(self.proc).memory()


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def _stat(**values: int) -> str:
    return "\n".join(f"{name} {value}" for name, value in {"anon": 7, **values}.items())


def test_reads_version_2_as_a_container_sees_it(kernel: Kernel) -> None:
    kernel.tell("0::/\n", [("cgroup2", "/", "rw,nsdelegate")])
    stat = _stat(file=900, inactive_file=100, active_file=50, slab_reclaimable=25)
    kernel.group("cgroup2", max="2000", high="max", current="1000", stat=stat)
    assert kernel.memory() == Memory(used=825, limit=2000)


def test_takes_the_limit_that_comes_first(kernel: Kernel) -> None:
    kernel.tell("0::/\n", [("cgroup2", "/", "rw")])
    kernel.group("cgroup2", max="2000", high="1500", current="1000", stat=_stat())
    assert kernel.memory() == Memory(used=1000, limit=1500)


def test_finds_the_least_limit_of_the_groups_that_it_is_in(kernel: Kernel) -> None:
    kernel.tell("0::/system.slice/gateway.service\n", [("cgroup2", "/", "rw")])
    kernel.group("cgroup2")  # which has no such files
    kernel.group("cgroup2", "system.slice", max="500", high="max", current="400", stat=_stat())
    own = {"max": "900", "high": "max", "current": "300", "stat": _stat()}
    kernel.group("cgroup2", "system.slice/gateway.service", **own)
    assert kernel.memory() == Memory(used=400, limit=500)
    kernel.group("cgroup2", "system.slice", max="max")
    assert kernel.memory() == Memory(used=300, limit=900)


def test_reads_version_1_where_memory_is_accounted_by_it(kernel: Kernel) -> None:
    kernel.tell(
        "5:memory:/docker/4f\n1:name=systemd:/docker/4f\n0::/\n",
        [
            ("cgroup", "/docker/4f", "rw,memory"),
            ("cgroup2", "/", "rw"),
        ],
    )
    stat = _stat(inactive_file=1, total_inactive_file=200, total_active_file=100)
    kernel.group("cgroup", limit_in_bytes="4000", usage_in_bytes="3000", stat=stat)
    kernel.group("cgroup2", max="5", high="max", current="4", stat=_stat())
    assert kernel.memory() == Memory(used=2700, limit=4000)


def test_knows_version_1_without_a_limit(kernel: Kernel) -> None:
    kernel.tell("5:cpu,memory:/\n", [("cgroup", "/", "rw,cpu,memory")])
    kernel.group("cgroup", limit_in_bytes=_UNLIMITED_V1, usage_in_bytes="3000", stat=_stat())
    assert kernel.memory() is None


def test_goes_by_what_is_mounted_when_its_own_group_is_outside(kernel: Kernel) -> None:
    kernel.tell("0::/../elsewhere\n", [("cgroup2", "/", "rw")])
    kernel.group("cgroup2", max="2000", high="max", current="10", stat=_stat())
    assert kernel.memory() == Memory(used=10, limit=2000)


def test_hears_of_a_limit_that_changes(kernel: Kernel) -> None:
    kernel.tell("0::/\n", [("cgroup2", "/", "rw")])
    kernel.group("cgroup2", max="max", high="max", current="10", stat=_stat())
    container = Container(kernel.proc)
    assert container.memory() is None
    kernel.group("cgroup2", max="100")
    assert container.memory() == Memory(used=10, limit=100)


@pytest.mark.parametrize("text", ["", "nonsense"])
def test_knows_no_limit_where_the_files_say_nothing(kernel: Kernel, text: str) -> None:
    kernel.tell("0::/\n", [("cgroup2", "/", "rw")])
    kernel.group("cgroup2", max=text, high="max", current="10", stat=_stat())
    assert kernel.memory() is None


def test_knows_no_limit_on_a_system_without_control_groups(tmp_path: Path) -> None:
    assert Container(tmp_path).memory() is None


def test_can_read_this_system() -> None:
    memory = Container().memory()
    assert memory is None or 0 < memory.used <= memory.limit
