"""The rules that a body's fields are declared with.

A rule looks at one value and returns what is forwarded in its place, ``ABSENT`` for nothing. It
raises for what is not allowed, with a JSON pointer (RFC 6901) to it, and notes every id it meets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway_core.errors import FieldForbidden, FieldInvalid, ResourceNotFound
from gateway_core.spelling import meant
from letta_proxy.mode import has_provider
from letta_proxy.model_provider import EMBEDDING_PREFIX
from letta_proxy.tools import require_allowed_name
from letta_proxy.translate import UNKNOWN_HANDLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from letta_proxy.models import Kind
    from letta_proxy.policy.demands import Demands

ABSENT: Final = object()
_MOST_ITEMS: Final = 1000
_MOST_IDS: Final = 100
_SHOWN_CHARACTERS: Final = 80
# Handles of the embedding models of Letta's server begin so.
_OF_OPENAI: Final = "openai/"


class Rule(Protocol):
    """What may stand in a place."""

    def admit(self, value: Any, pointer: str, demands: Demands) -> Any:
        """Return what is forwarded.

        Raises:
            FieldForbidden, FieldInvalid: the value may not or can't stand there.
        """
        ...


@dataclass(frozen=True, slots=True)
class Anything:
    """Letta judges it; it can't reach beyond the caller's own things."""

    def admit(self, value: Any, _pointer: str, _demands: Demands) -> Any:
        """Return it as it is."""
        return value


@dataclass(frozen=True, slots=True)
class Refused:
    """May not be set. Nothing, an empty value and false are as good as absent.

    Attributes:
        instead: what to do instead, a sentence.
    """

    instead: str

    def admit(self, value: Any, pointer: str, _demands: Demands) -> Any:
        """Return nothing."""
        if value:
            where = shown(pointer)
            raise FieldForbidden(
                f"The field {where} may not be set here. {self.instead}", param=where
            )
        return ABSENT


@dataclass(frozen=True, slots=True)
class Dropped:
    """Harmless, of no use here, and sent by some clients as a matter of course."""

    def admit(self, _value: Any, _pointer: str, _demands: Demands) -> Any:
        """Return nothing."""
        return ABSENT


@dataclass(frozen=True, slots=True)
class Text:
    """A string, or null.

    Attributes:
        complaint: says what is wrong with a string, empty when nothing is.
    """

    complaint: Callable[[str], str] = lambda _text: ""

    def admit(self, value: Any, pointer: str, _demands: Demands) -> Any:
        """Return it as it is."""
        if value is None:
            return None
        if not isinstance(value, str):
            raise invalid(pointer, "must be a string")
        if "\0" in value:  # Letta's database can't hold one, and fails
            raise invalid(pointer, "may not have a NUL character")
        if problem := self.complaint(value):
            raise invalid(pointer, problem)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole number within bounds, or null."""

    minimum: int
    maximum: Callable[[], int]

    def admit(self, value: Any, pointer: str, _demands: Demands) -> Any:
        """Return it as it is."""
        if value is None:
            return None
        maximum = self.maximum()
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        # What is larger than 64 bits has been read as a fraction, and is none to its sender.
        if not is_whole or not self.minimum <= value <= maximum:
            raise invalid(pointer, f"must be a whole number between {self.minimum} and {maximum}")
        return value


@dataclass(frozen=True, slots=True)
class Id:
    """The id of a thing that is the caller's own, or null."""

    kind: Kind

    def admit(self, value: Any, pointer: str, demands: Demands) -> Any:
        """Return it as it is."""
        if value is None:
            return None
        if not isinstance(value, str):
            raise invalid(pointer, "must be the id of one of your own resources")
        demands.add(self.kind, value, pointer)
        return value


@dataclass(frozen=True, slots=True)
class ToolName:
    """The name of a tool on the list."""

    def admit(self, value: Any, pointer: str, _demands: Demands) -> Any:
        """Return it as it is."""
        if not isinstance(value, str):
            raise invalid(pointer, "must be the name of a tool")
        require_allowed_name(shown(value), pointer)
        return value


@dataclass(frozen=True, slots=True)
class ModelHandle:
    """The handle of a model to think with, or null. It carries no address."""

    def admit(self, value: Any, pointer: str, demands: Demands) -> Any:
        """Return it as it is."""
        admitted = Text().admit(value, pointer, demands)
        if admitted:
            demands.models[admitted] = shown(pointer)
        return admitted


@dataclass(frozen=True, slots=True)
class EmbeddingHandle:
    """The handle of an embedding model, or null. It carries no address.

    What Letta's server itself would have from OpenAI, the user's own provider has, too.
    """

    def admit(self, value: Any, pointer: str, demands: Demands) -> Any:
        """Return that of the user's own provider, where there is one."""
        admitted = Text().admit(value, pointer, demands)
        if not admitted or not has_provider():
            return admitted
        name = admitted.removeprefix(_OF_OPENAI).removeprefix(EMBEDDING_PREFIX)
        if admitted not in {_OF_OPENAI + name, EMBEDDING_PREFIX + name}:
            raise ResourceNotFound(UNKNOWN_HANDLE, param=shown(pointer))
        return EMBEDDING_PREFIX + name


@dataclass(frozen=True, slots=True)
class Each:
    """A list of what another rule admits, or null."""

    rule: Rule
    most: int = _MOST_ITEMS

    def admit(self, value: Any, pointer: str, demands: Demands) -> Any:
        """Return the list of what is forwarded of each."""
        if value is None:
            return None
        if not isinstance(value, list):
            raise invalid(pointer, "must be a list")
        if len(value) > self.most:
            raise invalid(pointer, f"must have at most {self.most} items")
        admitted = (self.rule.admit(v, f"{pointer}/{i}", demands) for i, v in enumerate(value))
        return [item for item in admitted if item is not ABSENT]


def ids(kind: Kind) -> Each:
    """Return the rule for a list of ids of the caller's own things."""
    return Each(Id(kind), most=_MOST_IDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """An object of these fields and no others, or null.

    Attributes:
        fields: what may stand in each.
        one_of: fields of which at least one must have a value.
    """

    fields: Mapping[str, Rule]
    one_of: tuple[str, ...] = field(default=())

    def admit(self, value: Any, pointer: str, demands: Demands) -> Any:
        """Return an object built anew from the fields that are known."""
        if value is None:
            return None
        if not isinstance(value, dict):
            raise invalid(pointer, "must be an object")
        if self.one_of and not any(value.get(name) for name in self.one_of):
            raise invalid(f"{pointer}/{self.one_of[0]}", f"is required: {' or '.join(self.one_of)}")
        built = {}
        for name, item in value.items():
            admitted = self._rule(name, pointer).admit(item, below(pointer, name), demands)
            if admitted is not ABSENT:
                built[name] = admitted
        return built

    def _rule(self, name: str, pointer: str) -> Rule:
        rule = self.fields.get(name)
        if rule is None:
            where = shown(below(pointer, name))
            others = [one for one, its in self.fields.items() if not isinstance(its, Refused)]
            advice = meant(name, others) or " Remove it."
            raise FieldForbidden(f"The field {where} is not known here.{advice}", param=where)
        return rule


def invalid(pointer: str, problem: str) -> FieldInvalid:
    """Return the error for a field whose value can't be taken."""
    where = shown(pointer)
    return FieldInvalid(
        f"{where or 'the body'} {problem}.",
        param=where,
        errors=[{"pointer": where, "message": problem}],
    )


def shown(name: str) -> str:
    """Return a caller's own word as an error repeats it: only its beginning, when it is long."""
    if len(name) <= _SHOWN_CHARACTERS:
        return name
    return f"{name[: _SHOWN_CHARACTERS - 1]}…"


def below(pointer: str, name: str) -> str:
    """Return the JSON pointer to a member of what another one points to."""
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
