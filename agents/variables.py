"""An agent's variables in its row: plain ones as they are, secret ones in one encrypted text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core.crypto import decrypt, encrypt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from agents.models import Agent

MASK: Final = "********"


def set_variables(agent: Agent, variables: Mapping[str, Any], secret_names: frozenset[str]) -> None:
    """Give an agent its variables, in memory: plain ones as they are, secret ones encrypted."""
    secrets = {name: value for name, value in variables.items() if name in secret_names}
    agent.variables = {name: value for name, value in variables.items() if name not in secrets}
    agent.secret_names = sorted(secrets)
    agent.encrypted_variables = ""
    if secrets:
        agent.encrypted_variables = encrypt(orjson.dumps(secrets).decode(), row_of(agent.pk))


def all_variables(agent: Agent) -> dict[str, Any]:
    """Return an agent's variables, secret ones in clear.

    Raises:
        SecretUnreadable: no encryption key opens them.
    """
    if not agent.encrypted_variables:
        return dict(agent.variables)
    secrets = orjson.loads(decrypt(agent.encrypted_variables, row_of(agent.pk)))
    return {**agent.variables, **secrets}


def shown_variables(agent: Agent) -> dict[str, Any]:
    """Return an agent's variables as they may be shown."""
    return {**agent.variables, **dict.fromkeys(agent.secret_names, MASK)}


def row_of(agent_pk: UUID) -> str:
    """Return what the encrypted variables of an agent are bound to."""
    return f"agent:{agent_pk}:variables"
