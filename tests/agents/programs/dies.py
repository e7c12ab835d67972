"""Does things to agents, and dies in the midst of them.

Reads lines of JSON ``{"do", "user", "die_after", …}`` and answers each with ``died`` or ``done``.
A child does it, and is gone, as with ``kill -9``, after so many effects: statements, commits and
calls to Letta.

Usage: dies DATABASE_NAME
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django
from django.conf import settings

DIED = 9


class Life:
    """Ends with the process after so many effects."""

    def __init__(self, effects: int) -> None:
        self._left = effects

    def passes(self) -> None:
        self._left -= 1
        if self._left <= 0:
            os._exit(DIED)

    def watch(self, owner: Any, name: str) -> None:
        """Count each call of a function once it has had its effect."""
        original = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            result = original(*arguments, **named)
            self.passes()
            return result

        setattr(owner, name, counted)


def do(wish: dict[str, Any]) -> None:
    from django.db import connection  # noqa: PLC0415 - needs the settings below

    from accounts.models import User  # noqa: PLC0415 - as above
    from agents import services  # noqa: PLC0415 - as above
    from agents.models import Agent  # noqa: PLC0415 - as above
    from agents.upgrades import services as upgrades  # noqa: PLC0415 - as above
    from gateway_core.rest import RestClient  # noqa: PLC0415 - as above

    user = User.objects.get(pk=wish["user"])
    life = Life(wish["die_after"])

    def execute(run: Any, *arguments: Any) -> Any:
        result = run(*arguments)
        life.passes()
        return result

    life.watch(RestClient, "call")
    life.watch(connection, "commit")
    with connection.execute_wrapper(execute):
        match wish["do"]:
            case "create":
                services.create_agent(
                    user=user,
                    template_id=wish["template"],
                    version="latest",
                    variables={"user_name": "Ann"},
                    traits=services.Traits(name="Ada"),
                )
            case "clone":
                services.clone_agent(
                    source=Agent.objects.get(agent_id=wish["agent"]),
                    user=user,
                    traits=services.Traits(name="Bea"),
                    with_memory=True,
                    with_messages=True,
                )
            case "upgrade":
                agent = Agent.objects.get(agent_id=wish["agent"])
                upgrades.upgrade_agent(agent=agent, by=user, wish=upgrades.Wish())
            case "delete":
                services.delete_agent(agent=Agent.objects.get(agent_id=wish["agent"]), by=user)


def in_child(wish: dict[str, Any]) -> str:
    child = os.fork()
    if child == 0:
        try:
            do(wish)
        except BaseException as exc:  # noqa: BLE001 - nothing of the child may go on
            os.write(2, f"{exc!r}\n".encode())
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {DIED: "died", 0: "done"}.get(status, f"failed: {status}")


settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
for line in sys.stdin:
    os.write(1, in_child(json.loads(line)).encode() + b"\n")
