"""How an operation of Letta is declared: one line each, everything about it in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, cast

from django.conf import settings

from gateway_core.proxy.operations import BodyKind, Operation
from gateway_core.rates import RateClass
from letta_proxy.catalogue.shapes import UNTOUCHED, Answer
from letta_proxy.models import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_core.proxy.exchange import Exchange
    from letta_proxy.policy.rules import Rule


class Use(StrEnum):
    """What an operation does, for whoever limits or forbids."""

    READ = "read"
    WRITE = "write"
    COST = "cost"  # makes a model or an embedding model work


class Within(StrEnum):
    """Why a parameter of a path needs no owner of its own."""

    THING = "names a part of the thing before it"
    ORGANIZATION = "Letta looks for it in the user's organization only (measured)"


# The owner rule of every id that stands in a path: the same name means the same thing everywhere.
OWNER_RULES: Final[Mapping[str, Kind | Within]] = {
    "agent_id": Kind.AGENT,
    "archive_id": Kind.ARCHIVE,
    "block_id": Kind.BLOCK,
    "conversation_id": Kind.CONVERSATION,
    "file_id": Kind.FILE,
    "folder_id": Kind.FOLDER,
    "message_id": Kind.MESSAGE,
    "run_id": Kind.RUN,
    "source_id": Kind.FOLDER,
    "step_id": Kind.STEP,
    "tool_id": Kind.TOOL,
    "block_label": Within.THING,
    "tool_name": Within.THING,
    "memory_id": Within.ORGANIZATION,
    "passage_id": Within.ORGANIZATION,
}
# What those of Within.ORGANIZATION are.
CONFINED: Final[Mapping[str, Kind]] = {"memory_id": Kind.PASSAGE, "passage_id": Kind.PASSAGE}
# The owner rules of ids in a query.
QUERY_OWNER_RULES: Final[Mapping[str, Kind]] = {
    "agent_id": Kind.AGENT,
    "agent_ids": Kind.AGENT,
    "conversation_id": Kind.CONVERSATION,
}
# Ids that say where a page of a list begins. Measured: Letta looks most of them up among all
# organizations, so a page tells whether a foreign thing exists and when it was made.
CURSORS: Final = frozenset({"after", "before", "cursor"})
# What is called like an id in Letta's bodies and leads to nothing that somebody could own.
NO_OWNER: Final[Mapping[str, str]] = {
    "approval_request_id": "compared with what waits in the agent's own thread",
    "id": "the name of a part of the message in which it stands",
    "return_token_ids": "a switch",
    "sender_id": "kept with the message, never looked up",
    "tool_call_id": "the model's name for a call in the agent's own thread",
}
# Answered by the gateway itself: leave the embedding vectors in the answer.
EMBEDDINGS_PARAMETER: Final = "include_embeddings"

_PARAMETERS: Final = re.compile(r"\{(\w+)\}").findall


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What a list is of that Letta Cloud would show to all its users alike.

    Attributes:
        kind: of the thing whose owner may see an item.
        member: of the item, where that thing's id stands.
        by_tag: Letta can be asked for what has the owner's tag.
    """

    kind: Kind
    member: str = "id"
    by_tag: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LettaOperation(Operation):
    """One operation of Letta 0.16.8.

    Attributes:
        why_not: why it is not offered; empty when it is.
        use: what it does.
        owners: for each parameter of the path, what it must be.
        query: names of query parameters that callers may send.
        fields: the rule of the body.
        creates: patterns of the ids that its answer brings, and their kinds.
        shows: patterns of ids in its answer that are the caller's and can't be looked up later.
        listed: whose the items of its list are, where that has to be looked at.
        takes_tags: None where the body takes no tags; else the lists in it whose items take them.
        unique_names: the names of such things are unique within an organization.
        deletes: the parameter of the path whose thing is gone afterwards.
        is_sensitive: Supabase is asked first whether the session still lives.
        sets_models: it answers with an agent for whom Letta may have looked up models.
        lists_models: it answers with a list of models.
        answer: what is taken out of its answer.
    """

    why_not: str = ""
    use: Use = Use.READ
    owners: Mapping[str, Kind | Within] = field(default_factory=dict)
    query: frozenset[str] = frozenset()
    fields: Rule | None = None
    creates: Mapping[str, Kind] = field(default_factory=dict)
    shows: Mapping[str, Kind] = field(default_factory=dict)
    listed: Listed | None = None
    takes_tags: tuple[str, ...] | None = None
    unique_names: bool = False
    deletes: str = ""
    is_sensitive: bool = False
    sets_models: bool = False
    lists_models: bool = False
    answer: Answer = UNTOUCHED

    @property
    def is_offered(self) -> bool:
        """Whether callers may use it."""
        return not self.why_not


def operation_of(exchange: Exchange) -> LettaOperation:
    """Return the row of a request of this route."""
    return cast("LettaOperation", exchange.operation)


def offered(name: str, operation: str, *, query: str = "", **rules: Any) -> LettaOperation:
    """Declare an operation that callers may use.

    Args:
        name: Letta's operation id.
        operation: ``METHOD /path`` in Letta's own form, below /v1: collections with a slash at the
            end, items without.
        query: names of query parameters, separated by blanks.
        rules: further attributes; ``owners`` adds to OWNER_RULES.

    Raises:
        KeyError: a parameter of the path has no owner rule.
    """
    method, path = operation.split()
    own_rules = {**OWNER_RULES, **rules.pop("owners", {})}
    fields = rules.get("fields")
    rules.setdefault("body", BodyKind.JSON if fields is not None else BodyKind.NONE)
    rules.setdefault("use", Use.READ if method == "GET" else Use.WRITE)
    rules.setdefault("max_bytes", settings.MAX_JSON_BYTES)
    rules.setdefault("counts_as", _class_of(rules["body"], rules["use"]))
    return LettaOperation(
        name=name,
        method=method,
        path=path.rstrip("/"),
        upstream_path=f"/v1{path}",
        owners={parameter: own_rules[parameter] for parameter in _PARAMETERS(path)},
        query=frozenset(query.split()),
        must_finish=bool(rules.get("creates") or rules.get("deletes")),
        **rules,
    )


def _class_of(body: BodyKind, use: Use) -> RateClass:
    """Return what an operation is counted as.

    What has a model work costs the same whether it is asked at Letta or at LiteLLM, so both are one
    limit; what the agent then asks of models is counted apart, or a long answer could not end.
    Changing agents and blocks costs no more than reading them, and SDKs do both in turns.
    """
    if body is BodyKind.FORM:
        return RateClass.UPLOADS
    return RateClass.LLM if use is Use.COST else RateClass.GENERAL


def not_offered(why_not: str, *operations: str) -> list[LettaOperation]:
    """Declare operations that share the reason why callers may not use them."""
    return [_closed(why_not, *operation.split()) for operation in operations]


def _closed(why_not: str, method: str, path: str) -> LettaOperation:
    return LettaOperation(
        name=f"{method.lower()}:{path.strip('/')}",
        method=method,
        path=path.rstrip("/"),
        upstream_path=f"/v1{path}",
        why_not=why_not,
    )
