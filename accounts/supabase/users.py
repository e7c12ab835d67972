"""What Supabase Auth says of one user, read once and typed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID

from accounts.tokens.claims import EMAIL_MAX_LENGTH
from gateway_core.errors import UpstreamAnswerInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME_MAX_LENGTH: Final = 150
# Where providers and sign-up forms put a name. Users write these themselves.
_NAMES: Final = ("full_name", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class SupabaseUser:
    """A user as Supabase Auth has them.

    Attributes:
        email: empty for anonymous and phone users; may be unverified.
        name: how they call themselves; empty when they don't.
        updated_at: when the row last changed, by the clock that writes ``iat`` into tokens.
        banned_until: may lie in the past, when the ban is over.
        deleted_at: of a user who was deleted softly, whose row stays without address and name.
    """

    id: UUID
    email: str
    name: str
    is_anonymous: bool
    updated_at: datetime
    banned_until: datetime | None
    deleted_at: datetime | None

    @classmethod
    def read(cls, members: Any) -> Self:
        """Return the user of a parsed answer.

        Raises:
            UpstreamAnswerInvalid: it is not one.
        """
        try:
            return cls(
                id=UUID(members["id"]),
                email=_email(members),
                name=_name(members.get("user_metadata")),
                is_anonymous=bool(members.get("is_anonymous", False)),
                updated_at=_moment(members["updated_at"]),
                banned_until=_moment_or_none(members.get("banned_until")),
                deleted_at=_moment_or_none(members.get("deleted_at")),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise UpstreamAnswerInvalid from exc

    def is_banned(self, now: datetime) -> bool:
        """Say whether a ban lasts still."""
        return self.banned_until is not None and self.banned_until > now


def _email(members: Mapping[str, Any]) -> str:
    email = members.get("email") or ""
    if len(email) > EMAIL_MAX_LENGTH or not email.isprintable():
        raise ValueError("not an e-mail address")
    return str(email)


def _name(metadata: Any) -> str:
    """Return the name in what users may write anything into, in a form that is safe to show."""
    if not isinstance(metadata, dict):
        return ""
    for name in _NAMES:
        value = metadata.get(name)
        if isinstance(value, str) and value.strip():
            shown = "".join(letter if letter.isprintable() else " " for letter in value)
            return " ".join(shown.split())[:NAME_MAX_LENGTH]
    return ""


def _moment_or_none(text: Any) -> datetime | None:
    return None if text is None else _moment(text)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time of no zone")
    return moment
