"""Rows in memory, and the one place where they are filtered by organization.

A row is a JSON object. Members that begin with ``_`` never leave the server. The real server
filters by the actor's organization and by nothing else; some of its routes forget even that, and
those here call ``anyones`` instead of ``own``, so the leaks can be found by that name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from gateway_project.sandbox.letta.ids import DEFAULT_ORGANIZATION_ID, DEFAULT_USER_ID, now
from gateway_project.sandbox.letta.problems import DetailError

if TYPE_CHECKING:
    from collections.abc import Callable

Row: TypeAlias = dict[str, Any]

# Table to the class name that the real server puts into its 404.
TABLES: Final = {
    "agents": "Agent",
    "archives": "Archive",
    "blocks": "Block",
    "conversations": "Conversation",
    "file_agents": "FileAgent",
    "files": "FileMetadata",
    "groups": "Group",
    "identities": "Identity",
    "jobs": "Job",
    "messages": "Message",
    "organizations": "Organization",
    "passages": "Passage",
    "providers": "Provider",
    "runs": "Run",
    "sources": "Source",
    "steps": "Step",
    "tools": "Tool",
    "users": "User",
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who the request acts as."""

    id: str
    organization_id: str


DEFAULT_ACTOR: Final = Actor(DEFAULT_USER_ID, DEFAULT_ORGANIZATION_ID)


class Store:
    """The tables, in a form that ``gateway_project.sandbox.snapshot`` can keep."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Row]] = {}
        self.clear()

    def clear(self) -> None:
        """Empty all tables but for the default organization and user."""
        self.tables = {name: {} for name in TABLES}
        self.tables["organizations"][DEFAULT_ORGANIZATION_ID] = {
            "id": DEFAULT_ORGANIZATION_ID,
            "name": "default_org",
            "created_at": now(),
            "privileged_tools": False,
        }
        self.tables["users"][DEFAULT_USER_ID] = {
            "id": DEFAULT_USER_ID,
            "organization_id": DEFAULT_ORGANIZATION_ID,
            "name": "default_user",
            "created_at": now(),
            "updated_at": now(),
            "is_deleted": False,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return all rows."""
        return self.tables

    def load(self, values: dict[str, Any]) -> None:
        """Take over what ``as_dict`` once returned. Runs that had not ended never will."""
        self.tables |= values
        for run in self.anyones_rows("runs"):
            if run["status"] in {"created", "running"}:
                run |= {"status": "failed", "stop_reason": "error"}

    def add(self, table: str, row: Row, actor: Actor) -> Row:
        """Insert a row under its id, owned by the actor's organization."""
        row["_org"] = actor.organization_id
        self.tables[table][row["id"]] = row
        return row

    def own(self, table: str, row_id: str, actor: Actor) -> Row:
        """Return a row of the actor's organization.

        Raises:
            DetailError: 404, there is none, or it belongs to another organization.
        """
        row = self.tables[table].get(row_id)
        if row is None or row["_org"] != actor.organization_id:
            raise DetailError(404, self._not_found(table, row_id, actor))
        return row

    def own_rows(self, table: str, actor: Actor) -> list[Row]:
        """Return the rows of the actor's organization, oldest first."""
        return [r for r in self.tables[table].values() if r["_org"] == actor.organization_id]

    def anyones(self, table: str, row_id: str) -> Row | None:
        """Return a row of any organization, as the real server does where it forgets to check."""
        return self.tables[table].get(row_id)

    def anyones_rows(self, table: str) -> list[Row]:
        """Return all organizations' rows, as the real server does where it forgets to check."""
        return list(self.tables[table].values())

    def remove(self, table: str, row_id: str) -> None:
        """Delete one row; absent ones are no error."""
        self.tables[table].pop(row_id, None)

    def remove_where(self, table: str, matches: Callable[[Row], bool]) -> None:
        """Delete all rows that match."""
        rows = self.tables[table]
        for row_id in [i for i, row in rows.items() if matches(row)]:
            del rows[row_id]

    def remove_organization(self, organization_id: str) -> Row:
        """Delete an organization and everything that it owns.

        Raises:
            DetailError: 404, there is no such organization.
        """
        organization = self.tables["organizations"].pop(organization_id, None)
        if organization is None:
            raise DetailError(404, f"Organization not found with id='['{organization_id}']'")
        for table in TABLES:
            self.remove_where(table, lambda row: row.get("_org") == organization_id)
        self.remove_where("users", lambda row: row["organization_id"] == organization_id)
        return organization

    def _not_found(self, table: str, row_id: str, actor: Actor) -> str:
        """Return the text of a 404. As the real server's, it tells all about the actor."""
        if table == "agents":
            return f"Agent with ID {row_id} not found"
        user = self.tables["users"][actor.id]
        return (
            f"{TABLES[table]} not found with id='['{row_id}']', access level in ['read'] for "
            f"actor='id='{user['id']}' organization_id='{user['organization_id']}' "
            f"name='{user['name']}' created_at={datetime.fromisoformat(user['created_at'])!r} "
            f"is_deleted=False'"
        )


def public(row: Row) -> Row:
    """Return a row without the members that stay in the server."""
    return {key: value for key, value in row.items() if not key.startswith("_")}


def touch(row: Row, actor: Actor) -> Row:
    """Note that the actor has just changed the row."""
    row["updated_at"] = now()
    row["last_updated_by_id"] = actor.id
    return row
