"""Child processes that don't outlive their parent, and locks that die with their holder."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LOG_LINES = 15
_GROUP_NOBODY = "65534"  # its name differs between distributions


class StartFailed(Exception):
    """Something of the sandbox did not start or has ended; the text is for a person to read."""


def launch(
    command: Sequence[str | Path],
    *,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    end_with_parent: signal.Signals | None = signal.SIGTERM,
    unprivileged: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, so that Ctrl-C reaches it only through its parent.

    Args:
        command: program and arguments.
        log: file for its output, written anew; without it the parent's own output is used.
        env: the child's whole environment; without it the parent's.
        end_with_parent: what the child gets when its parent is killed, where the system can do
            that (Linux).
        unprivileged: when run by root, run it as ``nobody``. It keeps the one capability of
            reaching files, since a checkout is often in a directory that only root may enter.
    """
    prefix = _setpriv(end_with_parent, unprivileged=unprivileged and os.geteuid() == 0)
    output = log.open("wb") if log else None
    try:
        return subprocess.Popen(  # noqa: S603 - our own commands
            [*prefix, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env=env,
            start_new_session=True,
        )
    finally:
        if output:
            output.close()


def run_to_end(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    unprivileged: bool = False,
) -> int:
    """Run a child and return its exit status; it is stopped when the wait is broken off."""
    child = launch(command, log=log, env=env, unprivileged=unprivileged)
    try:
        return child.wait()
    except BaseException:
        stop(child)
        raise


def stop(
    child: subprocess.Popen[bytes], ends_on: signal.Signals = signal.SIGTERM, *, seconds: float = 10
) -> None:
    """Ask a child to end, and make it end after so many seconds."""
    child.send_signal(ends_on)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def last_lines(log: Path) -> str:
    """Return the end of a log, indented, for an error message."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "".join(f"\n    {line}" for line in lines[-_LOG_LINES:])


def command_line(pid: int) -> str:
    """Return the command line of a running process, or nothing where there is none."""
    proc = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self").exists():
        try:
            return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    ps = ["/bin/ps", "-p", str(pid), "-o", "command="]
    result = subprocess.run(ps, check=False, capture_output=True, text=True)  # noqa: S603
    return result.stdout


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock on a file, waiting for it."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def _setpriv(end_with_parent: signal.Signals | None, *, unprivileged: bool) -> list[str]:
    program = shutil.which("setpriv")
    if program is None:
        if unprivileged:
            raise StartFailed("Run this as an ordinary user: PostgreSQL refuses to run as root.")
        return []
    options = ["--pdeathsig", end_with_parent.name[3:]] if end_with_parent else []
    if unprivileged:
        options += ["--reuid", "nobody", "--regid", _GROUP_NOBODY, "--clear-groups"]
        options += ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
        # access(2) ignores the capability of a non-root user without this bit.
        options += ["--securebits", "+no_setuid_fixup"]
    return [program, *options, "--"] if options else []
