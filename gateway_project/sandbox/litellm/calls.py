"""One call of a model: admitted, answered with the proxy's headers, and billed."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from gateway_project.sandbox.litellm import spend
from gateway_project.sandbox.litellm.access import (
    check_budget,
    check_limits,
    check_model,
    key_of,
    state_of,
)
from gateway_project.sandbox.litellm.models import (
    Model,
    Plan,
    cost_of,
    find_model,
    last_words,
    plan_answer,
)
from gateway_project.sandbox.litellm.problems import ProxyError, unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request

    from gateway_project.sandbox.litellm.state import Row, State

# What the real one shows of its insides; the gateway must not pass it on.
_PROVIDER_URL: Final = "http://model-provider.internal:9999/v1"
_VERSION: Final = "1.109.1"
_FORBIDDEN: Final = ("api_base", "base_url", "api_key")
_KINDS: Final = {
    400: ("stub_error", "BadRequestError"),
    401: ("authentication_error", "AuthenticationError"),
    404: ("invalid_request_error", "NotFoundError"),
    408: ("invalid_request_error", "Timeout"),
    429: ("throttling_error", "RateLimitError"),
    503: ("internal_server_error", "ServiceUnavailableError"),
}
_OTHER_KIND: Final = ("internal_server_error", "InternalServerError")
# The ids of answers, by which calls are logged; others have none, and failed ones no answer.
_ID_PREFIXES: Final = {
    "acompletion": "chatcmpl",
    "atext_completion": "cmpl",
    "aresponses": "resp",
    "anthropic_messages": "msg",
    "amoderation": "modr",
    "arerank": "rerank",
}
# Their cost is not told.
_PRICELESS: Final = frozenset({"aimage_generation", "atranscription", "amoderation"})
# What a prompt is taken for whose tokens the model has not counted.
_GUESSED_TOKENS: Final = 8


@dataclass(slots=True, kw_only=True)
class Call:
    """A call that was admitted.

    Attributes:
        state: the proxy's state.
        key: row of the caller's key; None for the master key.
        name: the model as it was asked for.
        model: the model.
        call_id: the caller's ``x-litellm-call-id``, or a new one.
        kind: LiteLLM's ``call_type``.
        answer_id: of the answer, empty for those that have none.
        end_user: what the request said in ``user``.
    """

    state: State
    key: Row | None
    name: str
    model: Model
    call_id: str
    kind: str
    answer_id: str
    end_user: str
    began: str
    settled: bool = False

    def headers(self, cost: float | None = None) -> dict[str, str]:
        """Return the headers of an answer; a stream does not know its cost yet."""
        headers = {
            "x-litellm-call-id": self.call_id,
            "x-litellm-model-id": uuid.uuid5(uuid.NAMESPACE_URL, self.name).hex,
            "x-litellm-model-name": f"{self.model.provider}/{self.name.removeprefix('stub/')}",
            "x-litellm-model-api-base": _PROVIDER_URL,
            "x-litellm-model-group": self.name,
            "x-litellm-version": _VERSION,
            "x-litellm-attempted-retries": "0",
            "x-litellm-attempted-fallbacks": "0",
            "x-ratelimit-limit-requests": "1000",
            "x-ratelimit-remaining-requests": "999",
            "llm_provider-openai-organization": "stub-org",
            "llm_provider-x-request-id": "req_stub",
            "request-id": "req_stub",
        }
        if cost is not None and self.kind not in _PRICELESS:
            headers["x-litellm-response-cost"] = str(cost)
        if self.key is not None:
            headers["x-litellm-key-spend"] = str(self.key["spend"])
            headers |= self._limits(self.key)
        return headers

    async def plan(self, said: Any, time_limit: Any = None) -> Plan:
        """Return what the model answers, when its time to the first piece is over.

        Args:
            said: the conversation, or a text.
            time_limit: seconds that the request allows, in its ``timeout``.

        Raises:
            ProxyError: the provider fails, or is too slow.
        """
        prompt, after_tool = last_words(said)
        plan = plan_answer(self.name, prompt, after_tool=after_tool)
        is_late = time_limit is not None and float(time_limit) < plan.wait
        await asyncio.sleep(float(time_limit) if is_late else plan.wait)
        if is_late:
            raise self._failed(408)
        if plan.error:
            raise self._failed(plan.error, is_too_long=plan.is_too_long)
        return plan

    def settle(self, plan: Plan, *, pieces: int | None = None, status: str = "success") -> float:
        """Bill the call, once, and return its cost in dollars."""
        usage = plan.usage(pieces)
        cost = cost_of(self.model, usage)
        if self.settled:
            return cost
        self.settled = True
        if self.key is not None:
            self.state.windows[self.key["token"]].running -= 1
        spend.log(
            self.state,
            self.key,
            call_id=self.call_id,
            request_id=self.answer_id if status == "success" else "",
            call_type=self.kind,
            end_user=self.end_user,
            model=f"{self.model.provider}/{self.name}",
            model_group=self.name,
            spend=cost,
            startTime=self.began,
            status=status,
            **usage,
        )
        return cost

    def _failed(self, status: int, *, is_too_long: bool = False) -> ProxyError:
        # One that was given up may have been answered later, so its prompt is billed.
        tokens = _GUESSED_TOKENS if status == HTTPStatus.REQUEST_TIMEOUT else 0
        self.settle(Plan(prompt_tokens=tokens, completion_tokens=0), status="failure")
        kind, name = _KINDS.get(status, _OTHER_KIND)
        said = f"stub says {status}"
        if is_too_long:
            kind, name = "invalid_request_error", "ContextWindowExceededError"
            said = "This model's maximum context length is 32000 tokens."
        text = f"litellm.{name}: {name}: OpenAIException - {said}\n\n"
        text += f"LiteLLM: model group '{self.name}' failed with the error above. "
        headers = _told_of_failure(self.call_id)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            headers["llm_provider-retry-after"] = "7"
        return ProxyError(status, kind, f"{text}No fallback was attempted.", headers=headers)

    def _limits(self, key: Row) -> dict[str, str]:
        window = self.state.window(key["token"])
        headers = {}
        used = {"requests": ("rpm_limit", window.requests), "tokens": ("tpm_limit", window.tokens)}
        for name, (field, amount) in used.items():
            if (limit := key[field]) is not None:
                headers[f"x-litellm-key-{field.replace('_', '-')}"] = str(limit)
                headers[f"x-ratelimit-api_key-limit-{name}"] = str(limit)
                remaining = str(max(0, limit - amount))
                headers[f"x-ratelimit-api_key-remaining-{name}"] = remaining
        if key["max_budget"] is not None:
            headers["x-litellm-key-max-budget"] = str(key["max_budget"])
        return headers


def begin(request: Request, body: Row, *, kind: str, name: str | None = None) -> Call:
    """Admit a call, in the order of the real proxy.

    Args:
        request: the request.
        body: its JSON object or form.
        kind: LiteLLM's ``call_type``.
        name: model, when it does not stand in the body.

    Raises:
        ProxyError: for a key, model, budget or limit that does not allow it.
    """
    state, key = state_of(request), key_of(request)
    for member in _FORBIDDEN:
        if member in body:
            raise unauthorized(f"Rejected Request: {member} is not allowed in request body.")
    name = name or body.get("model")
    call_id = request.headers.get("x-litellm-call-id") or str(uuid.uuid4())
    if key is not None:
        name = key["aliases"].get(name, name)
        # The call has no id of its own until the key is found good for it.
        with _logged(state, key, kind, name, str(uuid.uuid4())):
            for wanted in (name, *_fallbacks(body)):
                check_model(state, key, str(wanted))
            check_budget(state, key)
    with _logged(state, key, kind, name, call_id, headers=_told_of_failure(call_id)):
        if key is not None:
            check_limits(state, key)
        name, model = _found_model(name)
    if key is not None:
        state.windows[key["token"]].running += 1
    return Call(
        state=state,
        key=key,
        name=name,
        model=model,
        call_id=call_id,
        kind=kind,
        answer_id=f"{prefix}-{uuid.uuid4()}" if (prefix := _ID_PREFIXES.get(kind)) else "",
        end_user=str(body.get("user") or ""),
        began=state.timestamp(),
    )


@contextmanager
def _logged(  # noqa: PLR0913 - what a row of the log says
    state: State,
    key: Row | None,
    kind: str,
    name: Any,
    call_id: str,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[None]:
    """Log a call that is refused within the block."""
    try:
        yield
    except ProxyError as error:
        error.headers |= headers
        model = str(name)
        spend.log(state, key, call_id=call_id, call_type=kind, model=model, model_group=model)
        raise


def _told_of_failure(call_id: str) -> dict[str, str]:
    return {"x-litellm-call-id": call_id, "x-litellm-response-cost": "0"}


def _found_model(name: Any) -> tuple[str, Model]:
    model = find_model(name) if isinstance(name, str) else None
    if model is None:
        text = f"litellm.BadRequestError: You passed in model={name}. "
        text += "There are no healthy deployments for this model"
        raise ProxyError(400, "invalid_request_error", text)
    return name, model


def _fallbacks(body: Row) -> list[Any]:
    fallbacks = body.get("fallbacks") or []
    return [row.get("model") if isinstance(row, dict) else row for row in fallbacks]
