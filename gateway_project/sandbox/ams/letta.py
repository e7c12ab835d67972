"""The sandbox's Letta, as the stand-in uses it: in the name of the Letta user that it is told."""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

from gateway_project.sandbox.ams.calls import ProblemError

if TYPE_CHECKING:
    from starlette.requests import Request


async def ask(  # noqa: PLR0913 - the parts of an HTTP request
    request: Request,
    method: str,
    path: str,
    *,
    payload: Any = None,
    form: dict[str, str] | None = None,
    files: Any = None,
    may_be_gone: bool = False,
) -> Any:
    """Return Letta's answer, None for what is gone.

    Raises:
        ProblemError: 502, Letta failed; 422 or 404, it refused.
    """
    headers = {"authorization": f"Bearer {os.environ.get('LETTA_API_KEY', '')}"}
    if letta_user := request.headers.get("x-letta-user-id"):
        headers["user_id"] = letta_user
    async with httpx.AsyncClient(base_url=os.environ.get("LETTA_BASE_URL", "")) as client:
        try:
            answer = await client.request(
                method, f"/v1{path}", json=payload, data=form, files=files, headers=headers
            )
        except httpx.HTTPError as exc:
            raise ProblemError(502, "letta_error", "Letta can't be reached") from exc
    if answer.is_success:
        return answer.json() if answer.content else None
    if answer.status_code == HTTPStatus.NOT_FOUND and may_be_gone:
        return None
    if answer.status_code == HTTPStatus.NOT_FOUND:
        fault = {"pointer": "/engine/model", "message": "is not available here"}
        raise ProblemError(422, "validation_failed", "Letta has no such model", errors=[fault])
    if answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ProblemError(422, "validation_failed", "Letta refuses this agent")
    raise ProblemError(502, "letta_error", "Letta failed")
