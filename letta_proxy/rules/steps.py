"""What an explanation is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from gateway_core.errors import FIRST_SERVER_ERROR, GatewayError


class Outcome(StrEnum):
    """How a step ended."""

    PASSED = "passed"
    NOTED = "noted"  # passed, and a shadow rule or something else worth knowing
    DENIED = "denied"
    UNKNOWN = "unknown"  # an upstream that has to be asked does not answer


class Answer(StrEnum):
    """The end of an explanation."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was looked at.

    Attributes:
        name: of what was looked at, from a closed set, or of a rule.
        status: HTTP status of the answer that the caller would get, 0 when the step passed.
        code: the error code of that answer.
        param: the field or parameter that is at fault.
    """

    name: str
    outcome: Outcome
    detail: str
    status: int = 0
    code: str = ""
    param: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Every step, in the order in which a request takes them."""

    steps: tuple[Step, ...]

    @property
    def decisive(self) -> Step | None:
        """The step that stops the request, None when nothing does."""
        for outcome in (Outcome.DENIED, Outcome.UNKNOWN):
            for step in self.steps:
                if step.outcome is outcome:
                    return step
        return None

    @property
    def answer(self) -> Answer:
        """Whether the request would be forwarded."""
        step = self.decisive
        if step is None:
            return Answer.ALLOWED
        return Answer.DENIED if step.outcome is Outcome.DENIED else Answer.UNKNOWN

    def as_document(self) -> dict[str, Any]:
        """Return it as it is shown to programs."""
        step = self.decisive
        return {
            "answer": self.answer.value,
            "status": step.status if step else 0,
            "code": step.code if step else "",
            "steps": [asdict(step) for step in self.steps],
        }


def passed(name: str, detail: str) -> Step:
    """Return a step that stops nothing."""
    return Step(name=name, outcome=Outcome.PASSED, detail=detail)


def stopped(name: str, error: GatewayError, *, detail: str = "") -> Step:
    """Return the step at which an error is raised."""
    is_fault_of_ours = error.status >= FIRST_SERVER_ERROR
    return Step(
        name=name,
        outcome=Outcome.UNKNOWN if is_fault_of_ours else Outcome.DENIED,
        detail=detail or error.detail,
        status=error.status,
        code=error.code.value,
        param=error.param or "",
    )
