"""Whether what came of a request is what has to come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from letta_proxy.proof.specimens import REFUSALS
from letta_proxy.proof.trials import Outcome, Who

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from letta_proxy.proof.trials import Trial
    from letta_proxy.proof.wire import Answer, Request

# Letta makes up the ids of file blocks for each answer.
_PASSING: Final = frozenset({"request_id", "updated_at", "file_blocks"})
_SUCCESS: Final = range(200, 300)
_ERRORS: Final = range(400, 500)
_UNAUTHENTICATED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_CONTEXT: Final = 60
_MOST_NAMED: Final = 3


def judge(
    trial: Trial, answer: Answer, twin: Answer | None, private: Collection[str]
) -> Iterator[str]:
    """Yield what is wrong with an answer.

    Args:
        twin: the answer to the trial's twin.
        private: what may not stand in an answer to anybody but the owner.
    """
    if trial.who is not Who.OWNER and (told := _told(trial.request, answer, private)):
        yield f"the answer ({answer.status}) holds what is the owner's: {told}"
    if complaint := _CHECKS[trial.outcome](trial, answer, twin):
        yield complaint


def plain(answer: Answer, asked_for: str = "") -> str:
    """Return a body without what differs between any two requests; Letta orders no tools."""
    text = answer.body.decode("utf-8", "replace")
    if asked_for:
        text = text.replace(asked_for, "<id>")
    try:
        return orjson.dumps(_steady(orjson.loads(text)), option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONDecodeError:
        return text


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _steady(item) for name, item in value.items() if name not in _PASSING}
    if isinstance(value, list):
        return sorted((_steady(item) for item in value), key=orjson.dumps)
    return value


def _told(request: Request, answer: Answer, private: Collection[str]) -> str:
    """Return the private words in an answer, but for those that the caller has said first."""
    text = answer.text
    said = f"{request.target} {request.headers} {_as_text(request.body)}"
    told = sorted(word for word in private if word in text and word not in said)
    return ", ".join(told[:_MOST_NAMED])


def _as_text(body: Any) -> str:
    return body.decode() if isinstance(body, bytes) else orjson.dumps(body).decode()


def _used(trial: Trial, answer: Answer, _twin: Answer | None) -> str:
    if answer.status in _SUCCESS or _is_about_the_state(trial, answer):
        return ""
    return f"the owner is refused: {_shown(answer)}"


def _is_about_the_state(trial: Trial, answer: Answer) -> bool:
    status, beginning = REFUSALS.get(trial.operation, (0, ""))
    problem = answer.json()
    detail = problem.get("detail") if isinstance(problem, dict) else None
    return answer.status == status and str(detail).startswith(beginning)


def _not_there(trial: Trial, answer: Answer, twin: Answer | None) -> str:
    if answer.status != _NOT_FOUND or _code(answer) != "caller_not_found":
        return f"it is not answered as missing: {_shown(answer)}"
    return _as_missing(trial, answer, twin)


def _as_missing(trial: Trial, answer: Answer, twin: Answer | None) -> str:
    if twin is None:
        return ""
    foreign, missing = plain(answer, trial.ids[0]), plain(twin, trial.ids[1])
    if (answer.status, foreign) == (twin.status, missing):
        return ""
    first = next((i for i, (a, b) in enumerate(zip(foreign, missing, strict=False)) if a != b), 0)
    place = slice(max(first - _CONTEXT, 0), first + _CONTEXT)
    shown = f"{answer.status} …{foreign[place]}… and {twin.status} …{missing[place]}…"
    return f"it can be told from a missing one: {shown}"


def _nothing_foreign(_trial: Trial, answer: Answer, _twin: Answer | None) -> str:
    return f"the gateway fails: {_shown(answer)}" if answer.status >= _ERRORS.stop else ""


def _led_nowhere(_trial: Trial, answer: Answer, _twin: Answer | None) -> str:
    return "" if answer.status in _ERRORS else f"it leads somewhere: {_shown(answer)}"


def _not_offered(_trial: Trial, answer: Answer, _twin: Answer | None) -> str:
    if answer.status == _FORBIDDEN and _code(answer) == "policy_operation_not_offered":
        return ""
    return f"it is not refused as not offered: {_shown(answer)}"


def _unauthenticated(_trial: Trial, answer: Answer, _twin: Answer | None) -> str:
    if answer.status == _UNAUTHENTICATED:
        return ""
    return f"somebody without a token is not told so: {_shown(answer)}"


_CHECKS: Final = {
    Outcome.USED: _used,
    Outcome.NOT_THERE: _not_there,
    Outcome.AS_MISSING: _as_missing,
    Outcome.NOTHING_FOREIGN: _nothing_foreign,
    Outcome.LED_NOWHERE: _led_nowhere,
    Outcome.NOT_OFFERED: _not_offered,
    Outcome.UNAUTHENTICATED: _unauthenticated,
}


def _code(answer: Answer) -> str:
    problem = answer.json()
    return str(problem.get("code")) if isinstance(problem, dict) else ""


def _shown(answer: Answer) -> str:
    return f"{answer.status} {answer.body[:160].decode('utf-8', 'replace')}"
