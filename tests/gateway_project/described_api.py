"""Every operation of the API document, called with what fits it and with what does not.

Generated ids lead nowhere, so that most calls would end at 404: where something is known that an
operation can be about, most calls name it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.openapi import from_path
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

_MOSTLY: Final = st.sampled_from([True, True, True, False])
_DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
_CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
# What the server says itself to what it can't read as HTTP: no application has seen it.
_NO_HTTP: Final = (400, b"Invalid HTTP request received.")

# What can be done once only, if all is well.
_ENDS_THE_USER: Final = {"DELETE /api/v1/me", "POST /api/v1/me/sign-out"}

Operation = APIOperation[Any, Any, Any, Any]
Known = Mapping[str, Mapping[str, Any]]


@cache
def operations() -> tuple[Operation, ...]:
    """Return all of them, those that delete last."""
    results = from_path(_DOCUMENT).get_all_operations()
    found = [result.ok() for result in results if isinstance(result, Ok)]
    return tuple(sorted(found, key=lambda one: (one.method == "delete", one.label)))


def email_of(operation: Operation) -> str:
    """Return who is to call an operation: alice, unless that would be the end of her."""
    return f"{'x' if operation.label in _ENDS_THE_USER else 'alice'}@example.com"


@dataclass
class Caller:
    """Calls operations and looks at the answers.

    Attributes:
        known: by the beginning of a path, values of parameters and of members of bodies.
        seed: of what is generated.
        statuses: how often each was the answer.
    """

    url: str
    token: str
    known: Known
    seed: int
    statuses: Counter[int] = field(default_factory=Counter)
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, operation: Operation, *, examples: int) -> None:
        """Call an operation so often with what fits it, and with what does not.

        Raises:
            FailureGroup: an answer is not as described, or an error of the gateway's.
        """
        for mode in GenerationMode:
            cases = operation.as_strategy(generation_mode=mode)
            check = given(case=cases, data=st.data())(self._check)
            try:
                seed(self.seed)(_often(examples)(check))()
            except Unsatisfiable:  # where nothing is sent, nothing can be wrong
                assert mode is GenerationMode.NEGATIVE

    def _check(self, case: Case[Any], data: st.DataObject) -> None:
        for place, name, value in self._better(case):
            if data.draw(_MOSTLY):
                place[name] = value
        answer = case.call(base_url=self.url, session=self.session)
        self.statuses[answer.status_code] += 1
        if (answer.status_code, answer.content) != _NO_HTTP:
            case.validate_response(answer, checks=_CHECKS)

    def _better(self, case: Case[Any]) -> Iterator[tuple[Any, str, Any]]:
        """Yield what would lead somewhere: the place, its name, and the value."""
        yield case.headers, "Authorization", f"Bearer {self.token}"
        known = next(
            (values for path, values in self.known.items() if case.path.startswith(path)), {}
        )
        for name, value in known.items():
            if name in case.path_parameters:
                yield case.path_parameters, name, value
            elif isinstance(case.body, dict):
                yield case.body, name, value


def _often(examples: int) -> settings:
    return settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
