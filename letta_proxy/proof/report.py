"""What the proof found, counted for a table and for a file."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from letta_proxy.proof.trials import Trial

_HEAD: Final = ("family", "offered", "closed", "positions", "requests", "findings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it has to be."""

    family: str
    operation: str
    who: str
    what: str
    complaint: str

    def __str__(self) -> str:
        return f"{self.operation}, {self.who}, {self.what}: {self.complaint}"


@dataclass(slots=True)
class Count:
    """Of one family of operations."""

    offered: int = 0
    closed: int = 0
    positions: int = 0
    requests: int = 0
    findings: int = 0


@dataclass(slots=True)
class Report:
    """All findings and counts of one proof."""

    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    untried: list[str] = field(default_factory=list)
    _times: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, family: str, operation: str, who: str, what: str, complaint: str) -> None:
        """Note a finding."""
        finding = Finding(
            family=family, operation=operation, who=who, what=what, complaint=complaint
        )
        self.findings.append(finding)
        self.counts[family].findings += 1

    def time(self, trial: Trial, foreign: float, missing: float) -> None:
        """Note how long the refusals of a foreign and of a missing thing took, in seconds."""
        if trial.thing:
            self._times[trial.thing].append((foreign, missing))

    def times(self) -> dict[str, tuple[float, float]]:
        """Return the median milliseconds of both, by what was asked for."""
        return {
            thing: (
                round(1000 * median(foreign for foreign, _ in pairs), 2),
                round(1000 * median(missing for _, missing in pairs), 2),
            )
            for thing, pairs in sorted(self._times.items())
        }

    def total(self) -> Count:
        """Return the sum of all families."""
        columns = [asdict(count) for count in self.counts.values()]
        return Count(**{name: sum(one[name] for one in columns) for name in _HEAD[1:]})

    def lines(self) -> Iterator[str]:
        """Yield a table for people, without the findings themselves."""
        yield _row(_HEAD)
        for family, count in sorted(self.counts.items()):
            yield _row((family, *asdict(count).values()))
        if times := self.times():
            yield ""
            yield "median milliseconds until a foreign and a missing one is refused"
            for thing, (foreign, missing) in times.items():
                yield f"{thing:<24}{foreign:>10.2f}{missing:>10.2f}"

    def last_line(self) -> str:
        """Return the totals."""
        total = self.total()
        return (
            f"{total.offered} operations offered, {total.closed} closed, {total.positions} id "
            f"positions, {total.requests} requests, {total.findings} findings"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        return {
            "total": asdict(self.total()),
            "families": {name: asdict(count) for name, count in sorted(self.counts.items())},
            "findings": [asdict(finding) for finding in self.findings],
            "median_milliseconds": self.times(),
            "untried": self.untried,
        }


def _row(cells: tuple[Any, ...]) -> str:
    first, *rest = cells
    return f"{first:<24}" + "".join(f"{cell:>10}" for cell in rest)
