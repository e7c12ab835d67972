"""Organizations and users: whoever has the server's password may do all of this."""

from __future__ import annotations

from typing import Final

from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.ids import new_id, now
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import DetailError, missing
from gateway_project.sandbox.letta.store import Row, public

routes: Final = Routes()


@routes.add("GET", "/admin/orgs/")
async def list_organizations(call: Call) -> list[Row]:
    """Return all organizations."""
    return page(call.store.anyones_rows("organizations"), call.request.query_params)


@routes.add("POST", "/admin/orgs/")
async def create_organization(call: Call) -> Row:
    """Make an organization; names need not be unique, ids can't be chosen."""
    given = await call.body(allowed=["name", "privileged_tools"])
    row = {
        "id": new_id("org"),
        "name": given.get("name") or "SincereYogurt",
        "created_at": now(),
        "privileged_tools": given.get("privileged_tools", False),
    }
    call.store.tables["organizations"][row["id"]] = row
    return row


@routes.add("PATCH", "/admin/orgs/")
async def rename_organization(call: Call) -> Row:
    """Rename an organization."""
    given = await call.body()
    row = call.store.anyones("organizations", _queried(call, "org_id"))
    if row is None:
        raise DetailError(404, f"Organization not found with id='{_queried(call, 'org_id')}'")
    row["name"] = given.get("name") or row["name"]
    return public(row)


@routes.add("DELETE", "/admin/orgs/")
async def delete_organization(call: Call) -> Row:
    """Delete an organization with its users and everything that it owns."""
    return public(call.store.remove_organization(_queried(call, "org_id")))


@routes.add("GET", "/admin/users/")
async def list_users(call: Call) -> list[Row]:
    """Return all users."""
    return page(call.store.anyones_rows("users"), call.request.query_params)


@routes.add("POST", "/admin/users/")
async def create_user(call: Call) -> Row:
    """Make a user of an organization."""
    fields = ["name", "organization_id"]
    given = await call.body(fields, allowed=fields)
    if call.store.anyones("organizations", given["organization_id"]) is None:
        text = "A foreign key constraint was violated for User. Check your input for missing or "
        raise DetailError(409, f"{text}invalid references: {given['organization_id']}")
    moment = now()
    row = {
        "id": new_id("user"),
        "organization_id": given["organization_id"],
        "name": given["name"],
        "created_at": moment,
        "updated_at": moment,
        "is_deleted": False,
    }
    call.store.tables["users"][row["id"]] = row
    return row


@routes.add("DELETE", "/admin/users/")
async def delete_user(call: Call) -> Row:
    """Delete a user; what the organization owns stays."""
    user_id = _queried(call, "user_id")
    row = call.store.tables["users"].pop(user_id, None)
    if row is None:
        raise DetailError(404, f"User not found with id='['{user_id}']'")
    return row


def _queried(call: Call, name: str) -> str:
    value = call.query(name)
    if value is None:
        raise missing("query", name)
    return value
