"""What other apps may ask of this one, all of it from synchronous code.

The functions of ``direct`` are what the gateway itself does in Letta in a user's name.
"""

from __future__ import annotations

from letta_proxy.direct.agents import (
    FoundAgent,
    change_agent,
    check_agent,
    create_agent,
    delete_agent,
    list_agents,
    note_belongings,
    read_agent,
    read_environment,
    receive_agent,
    record_agent,
)
from letta_proxy.direct.calls import letta_user_for_sync
from letta_proxy.direct.holdings import account_holders, has_account, owned_agents
from letta_proxy.direct.memory import (
    add_passages,
    drop_block,
    policed_passages,
    put_block,
    read_passages,
    tool_ids,
)
from letta_proxy.direct.threads import create_agent_with_messages, policed_messages, read_messages
from letta_proxy.models import Kind
from letta_proxy.ownership import forget_deleted_sync
from letta_proxy.roster import INVALIDATION_SUBJECT as SHUT_AGENTS
from letta_proxy.roster import Shut, register_roster
from letta_proxy.told import refusal_behind

__all__ = (
    "SHUT_AGENTS",
    "FoundAgent",
    "Kind",
    "Shut",
    "account_holders",
    "add_passages",
    "change_agent",
    "check_agent",
    "create_agent",
    "create_agent_with_messages",
    "delete_agent",
    "drop_block",
    "forget_deleted_sync",
    "has_account",
    "letta_user_for_sync",
    "list_agents",
    "note_belongings",
    "owned_agents",
    "policed_messages",
    "policed_passages",
    "put_block",
    "read_agent",
    "read_environment",
    "read_messages",
    "read_passages",
    "receive_agent",
    "record_agent",
    "refusal_behind",
    "register_roster",
    "tool_ids",
)
