"""The memory that a container may have, and has, as the kernel accounts it: control groups.

Both versions of them are read, by the files that the kernel's documentation names
(admin-guide/cgroup-v2 and admin-guide/cgroup-v1/memory). A system without them has no limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SELF: Final = Path("/proc/self")
# What version 1 says where there is no limit is a little less than 2**63.
_NO_LIMIT: Final = 2**60


class Memory(NamedTuple):
    """Of a group, in bytes.

    Attributes:
        used: what can't be taken back at once: without the pages of files and other caches.
        limit: at which the kernel ends a process of the group, or brings all of them to a halt.
    """

    used: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """How a version of control groups names things.

    Attributes:
        mount_type: of the file system that they are in.
        controller: among the options of that file system, and before the group's path.
        limits, used: files.
        reclaimable: lines of ``memory.stat``, of the group and those below it.
    """

    mount_type: str
    controller: str
    limits: tuple[str, ...]
    used: str
    reclaimable: frozenset[str]


_VERSIONS: Final = (
    # A system may have both; memory is then accounted by the first if that has it at all.
    _Version(
        mount_type="cgroup",
        controller="memory",
        limits=("memory.limit_in_bytes",),
        used="memory.usage_in_bytes",
        reclaimable=frozenset({"total_inactive_file", "total_active_file"}),
    ),
    _Version(
        mount_type="cgroup2",
        controller="",
        limits=("memory.max", "memory.high"),
        used="memory.current",
        reclaimable=frozenset({"inactive_file", "active_file", "slab_reclaimable"}),
    ),
)


class Container:
    """The control groups that this process is in, one in the other.

    Args:
        proc: what the kernel tells of the process.
    """

    def __init__(self, proc: Path = _SELF) -> None:
        self._groups = list(_groups(proc))

    def memory(self) -> Memory | None:
        """Return the memory of the group with the least limit now; None where none has one."""
        known = [_memory(version, group) for version, group in self._groups]
        return min((one for one in known if one), key=lambda one: one.limit, default=None)


def _groups(proc: Path) -> Iterator[tuple[_Version, Path]]:
    try:
        own = (proc / "cgroup").read_text().splitlines()
        mounts = (proc / "mountinfo").read_text().splitlines()
    except OSError:
        return
    for version in _VERSIONS:
        path, mount = _path(version, own), _mount(version, mounts)
        if path and mount:
            yield from ((version, group) for group in _upwards(path, *mount))
            return


def _path(version: _Version, lines: Iterable[str]) -> str:
    """Return the path of the process's group, empty where there is none."""
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if version.controller in controllers.split(","):
            return path
    return ""


def _mount(version: _Version, lines: Iterable[str]) -> tuple[str, str] | None:
    """Return which group is mounted, and where."""
    for line in lines:
        place, _, kind = line.partition(" - ")
        mount_type, _, options = kind.split(" ", 2)
        if mount_type == version.mount_type and version.controller in ("", *options.split(",")):
            root, point = place.split(" ")[3:5]
            return root, point
    return None


def _upwards(path: str, root: str, point: str) -> Iterator[Path]:
    """Yield the directories of a group and of those that it is in, as far as they can be seen.

    In a container its own group is mounted, by whatever path it has outside.
    """
    group, own = Path(point), PurePosixPath(path)
    yield group
    if own.is_relative_to(root) and ".." not in own.parts:
        for part in own.relative_to(root).parts:
            group /= part
            yield group


def _memory(version: _Version, group: Path) -> Memory | None:
    try:
        limit = min((_bytes(group / name) for name in version.limits), default=_NO_LIMIT)
        if limit >= _NO_LIMIT:
            return None
        used = _bytes(group / version.used)
        lines = (group / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return None
    fields = (line.partition(" ") for line in lines)
    reclaimable = sum(int(value) for name, _, value in fields if name in version.reclaimable)
    return Memory(used=max(0, used - reclaimable), limit=limit)


def _bytes(file: Path) -> int:
    text = file.read_text().strip()
    return _NO_LIMIT if text == "max" else int(text)
