"""Templates that another service keeps: it is asked for what it offers, and all else is refused.

A template published here would be one that no agent can be made from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from gateway_core.errors import FieldInvalid, OperationNotOffered, UpstreamAnswerInvalid
from templates_app.models import Visibility

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rest_framework.request import Request
    from rest_framework.serializers import ModelSerializer

    from accounts.models import User

KEPT_ELSEWHERE: Final = (
    "Templates are kept by the agent management service of AMS_BASE_URL, whose contract has no "
    "such call. It publishes, validates and describes templates; do the rest there."
)


class Keeper(Protocol):
    """Another service that keeps templates. Methods raise ``GatewayError``."""

    def publish(self, *, user: User, content: bytes, media_type: str) -> dict[str, Any]:
        """Publish an Agent File: ``{template_id, version, checksum, is_latest}``."""
        ...

    def validate(self, *, user: User, content: bytes, media_type: str) -> dict[str, Any]:
        """Look at an Agent File: ``{format, validation: {valid, errors}}``."""
        ...

    def template(self, *, user: User, template_id: str) -> dict[str, Any]:
        """Describe a template: ``{id, name, latest_version}``."""
        ...

    def version(self, *, user: User, template_id: str, version: str) -> dict[str, Any]:
        """Return a version, or the ``latest``: ``{version, checksum, agent_file, deprecated_at}``.

        A deprecated one, too.
        """
        ...


_finders: list[Callable[[], Keeper | None]] = []


def register_keeper(find: Callable[[], Keeper | None]) -> None:
    """Have templates looked for elsewhere, from ``AppConfig.ready``.

    Args:
        find: returns who keeps them, None for the gateway itself; asked for each request.
    """
    _finders.append(find)


def keeper() -> Keeper | None:
    """Return who keeps templates, None for the gateway itself."""
    return next((found for find in _finders if (found := find()) is not None), None)


def require_kept_here() -> None:
    """Refuse what only the gateway's own templates can have done to them.

    Raises:
        OperationNotOffered: another service keeps templates.
    """
    if keeper() is not None:
        raise OperationNotOffered(KEPT_ELSEWHERE)


class RefusesElsewhere:
    """For view sets of templates.

    Attributes:
        elsewhere: the actions that another service is asked for.
    """

    elsewhere: ClassVar[frozenset[str]] = frozenset()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse what another service that keeps templates does not offer."""
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        if self.action not in self.elsewhere:  # type: ignore[attr-defined]
            require_kept_here()


def refuse_unheeded(wish: Mapping[str, Any]) -> None:
    """Refuse what another service is not told of when it publishes a file.

    Raises:
        FieldInvalid: there is some.
    """
    usual = {"visibility": Visibility.PRIVATE, "changelog": ""}
    for name in sorted(wish):
        if wish[name] != usual.get(name):
            raise FieldInvalid(
                f"{name} is not known to the service that keeps templates here. Leave it out.",
                param=f"/{name}",
            )


def report_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what another service says about a file, as the gateway does.

    Raises:
        UpstreamAnswerInvalid: it says nothing about it.
    """
    validation = said.get("validation")
    if not isinstance(validation, dict):
        raise UpstreamAnswerInvalid
    return {**said, "validation": {"warnings": [], **validation}}


def known_of(told: Mapping[str, Any], kind: type[ModelSerializer[Any]]) -> dict[str, Any]:
    """Return what another service tells of a thing, as far as the gateway's answers have it."""
    return {name: told[name] for name in kind.Meta.fields if name in told}
