"""Everything that a request handler needs, in one object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway_project.sandbox.letta import base_tools
from gateway_project.sandbox.letta.outside import Outside
from gateway_project.sandbox.letta.store import DEFAULT_ACTOR, Store
from gateway_project.sandbox.letta.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

# What the real server has as OPENAI_API_KEY and sends where it should not.
SERVER_KEY: Final = "sk-letta-own-provider-key"


@dataclass(slots=True)
class World:
    """The state of one stand-in.

    Attributes:
        compose: makes the model's answer to a text without a directive.
        allow_default_actor: whether a missing or unknown user becomes the default one.
        keepalive_seconds: after which a silent stream gets a ping.
        parsing_seconds: how long an uploaded file stays in ``parsing``.
        is_cloud: whether all act in one organization, as with Letta Cloud's one API key.
    """

    compose: Callable[[str], str]
    allow_default_actor: bool
    keepalive_seconds: float
    parsing_seconds: float
    store: Store = field(default_factory=Store)
    outside: Outside = field(default_factory=Outside)
    turns: Turns = field(default_factory=Turns)
    is_cloud: bool = False

    def reset(self) -> None:
        """Forget everything."""
        self.turns.clear()
        self.store.clear()
        self.outside.clear()
        self.become_cloud(on=False)

    def become_cloud(self, *, on: bool) -> None:
        """Put everybody into the default organization, or each into their own again."""
        self.is_cloud = on
        if on:
            base_tools.seed(self.store, DEFAULT_ACTOR)
