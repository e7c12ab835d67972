"""What the stand-in holds: templates with their versions, and agents."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import uuid4

Row: TypeAlias = dict[str, Any]


@dataclass(slots=True)
class State:
    """Everything, as JSON-ready values.

    Attributes:
        templates: by id; ``owner`` is a user's id.
        agents: by Letta's id.
        answers: given before, by user and idempotency key.
        is_old: whether it only does what the first AMS did.
    """

    templates: dict[str, Row] = field(default_factory=dict)
    agents: dict[str, Row] = field(default_factory=dict)
    answers: dict[str, Row] = field(default_factory=dict)
    is_old: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return everything."""
        return {
            "templates": self.templates,
            "agents": self.agents,
            "answers": self.answers,
            "is_old": self.is_old,
        }

    def load(self, values: dict[str, Any]) -> None:
        """Take over what ``as_dict`` once returned."""
        for name, value in values.items():
            setattr(self, name, value)

    def reset(self) -> None:
        """Forget everything."""
        self.load(State().as_dict())

    def template_of(self, user_id: str, name: str) -> Row:
        """Return a user's template of a name, made when it is new."""
        for row in self.templates.values():
            if (row["owner"], row["name"]) == (user_id, name):
                return row
        row = {"id": str(uuid4()), "owner": user_id, "name": name, "latest": "", "versions": {}}
        self.templates[row["id"]] = row
        return row


def now() -> str:
    """Return this moment."""
    return datetime.now(UTC).isoformat()
