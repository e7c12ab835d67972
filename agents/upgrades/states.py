"""An agent as far as a template says anything about it, in the same form whoever is asked.

Pointers are those of Agent Files, but for blocks: they go by their labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Self

from agents.blueprints import MODEL_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM: Final = "/persona/system_prompt"
ENGINE: Final = "/engine"
BLOCKS: Final = "/memory_layout/blocks"
TOOLS: Final = "/tools"
ENVIRONMENT: Final = "/tool_env"

MODEL: Final = "/engine/model"
EMBEDDING: Final = "/engine/embedding"
CONTEXT_WINDOW: Final = "/engine/hyperparams/context_window"
# Letta's names in ``model_settings``, by pointer.
SETTINGS_AT: Final[Mapping[str, str]] = {
    f"/engine/hyperparams/{name}": theirs for name, theirs in MODEL_SETTINGS.items()
}
_OF_BLOCK: Final = ("value", "limit", "description", "read_only")
# What is not there.
ABSENT: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """An agent, or what a version of a template would have it be.

    Attributes:
        settings: system prompt and engine by pointer; what nobody has set is absent.
        tools: names, in order.
        blocks: ``{value, limit, description, read_only}`` by label, those that anybody has set;
            Letta fills in others by the label (measured).
        environment: what tools see; holds secrets.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    blocks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def value_at(self, pointer: str) -> Any:
        """Return a setting, a block or a member of one; ``ABSENT`` when it is not there."""
        label, member = block_in(pointer)
        if not label:
            return self.settings.get(pointer, ABSENT)
        block = self.blocks.get(label)
        if block is None or not member:
            return ABSENT if block is None else block
        return block.get(member, ABSENT)

    def with_value(self, pointer: str, value: Any) -> Self:
        """Return it with a setting, a block or a member of one that is there."""
        label, member = block_in(pointer)
        if not label:
            return replace(self, settings={**self.settings, pointer: value})
        block = {**self.blocks[label], member: value} if member else value
        return replace(self, blocks={**self.blocks, label: block})

    def without_block(self, label: str) -> Self:
        """Return it without a block."""
        blocks = {name: block for name, block in self.blocks.items() if name != label}
        return replace(self, blocks=blocks)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "settings": dict(self.settings),
            "tools": list(self.tools),
            "blocks": {label: dict(block) for label, block in self.blocks.items()},
            "environment": dict(self.environment),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``as_json`` was told of."""
        return cls(**{**values, "tools": tuple(values["tools"])})


def block_in(pointer: str) -> tuple[str, str]:
    """Return label and member of the block that a pointer leads to, empty where it does not."""
    if not pointer.startswith(f"{BLOCKS}/"):
        return "", ""
    label, _, member = pointer.removeprefix(f"{BLOCKS}/").partition("/")
    return label, member


def state_of_file(document: Mapping[str, Any], environment: Mapping[str, str]) -> State:
    """Return what an Agent File with its variables put in would have an agent be."""
    engine = document["engine"]
    parameters = engine.get("hyperparams") or {}
    layout = document.get("memory_layout") or {}
    return State(
        settings={
            SYSTEM: document["persona"]["system_prompt"],
            **{
                f"{ENGINE}/{name}": engine[name]
                for name in ("model", "embedding")
                if engine.get(name)
            },
            **{f"{ENGINE}/hyperparams/{name}": value for name, value in parameters.items()},
        },
        tools=tuple(document.get("tools") or ()),
        blocks={block["label"]: _block(block) for block in layout.get("blocks") or ()},
        environment=dict(environment),
    )


def file_of_state(state: State) -> dict[str, Any]:
    """Return the sections of an Agent File that say this; the way back from ``state_of_file``."""
    engine: dict[str, Any] = {}
    for pointer, value in state.settings.items():
        *holders, name = pointer.split("/")[2:]
        if pointer != SYSTEM:
            (engine.setdefault("hyperparams", {}) if holders else engine)[name] = value
    blocks = [{"label": label, **block} for label, block in state.blocks.items()]
    return {
        "engine": engine,
        "persona": {"system_prompt": state.settings[SYSTEM]},
        "memory_layout": {"blocks": blocks},
        "tools": list(state.tools),
    }


def state_of_agent(document: Mapping[str, Any], environment: Mapping[str, str]) -> State:
    """Return what an agent is, from Letta's document of it.

    Args:
        environment: what it was given; Letta shows it to nobody.
    """
    engine = document.get("model_settings") or {}
    found = {
        SYSTEM: document.get("system") or "",
        MODEL: document.get("model"),
        EMBEDDING: document.get("embedding"),
        CONTEXT_WINDOW: (document.get("llm_config") or {}).get("context_window"),
        **{pointer: engine.get(name) for pointer, name in SETTINGS_AT.items()},
    }
    return State(
        settings={pointer: value for pointer, value in found.items() if value is not None},
        tools=tuple(tool["name"] for tool in document.get("tools") or ()),
        blocks={block["label"]: _block(block) for block in document.get("blocks") or ()},
        environment=dict(environment),
    )


def _block(block: Mapping[str, Any]) -> dict[str, Any]:
    return {name: block[name] for name in _OF_BLOCK if block.get(name) is not None}
