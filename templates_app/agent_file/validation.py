"""Everything that is wrong with an Agent File, at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from templates_app.agent_file import schemas
from templates_app.agent_file.checks import content_faults, doubts
from templates_app.agent_file.declarations import declaration_faults, unused
from templates_app.agent_file.faults import in_order
from templates_app.agent_file.shape import SHAPE
from templates_app.agent_file.ways import patch_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from templates_app.agent_file.faults import Fault


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes:
        faults: why it can't be published, in the order of their pointers.
        warnings: what may be a mistake.
    """

    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]

    @property
    def is_valid(self) -> bool:
        """Whether it can be published."""
        return not self.faults


def validate(document: Any) -> Report:
    """Look at all of a document that ``load`` has read."""
    faults = [*document_faults(document), *declaration_faults(document)]
    return Report(in_order(faults), in_order([*doubts(document), *unused(document)]))


def document_faults(document: Any) -> Iterator[Fault]:
    """Yield what is wrong with a document but for its variables."""
    yield from schemas.faults(SHAPE, document)
    yield from content_faults(document)
    yield from patch_faults(document)
