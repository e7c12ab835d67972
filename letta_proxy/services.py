"""What other apps may ask of this one.

The functions of ``direct`` are for synchronous code: what the gateway itself does in Letta in a
user's name. The others are for the data plane's loop, unless their names end in ``_sync``.
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
from letta_proxy.ownership import (
    Created,
    forget_deleted,
    forget_deleted_sync,
    owns,
    record_created,
    record_created_sync,
)
from letta_proxy.provisioning import letta_user_for
from letta_proxy.roster import INVALIDATION_SUBJECT as SHUT_AGENTS
from letta_proxy.roster import Roster, Shut, register_roster

__all__ = (
    "SHUT_AGENTS",
    "Created",
    "FoundAgent",
    "Kind",
    "Roster",
    "Shut",
    "account_holders",
    "add_passages",
    "change_agent",
    "check_agent",
    "create_agent",
    "create_agent_with_messages",
    "delete_agent",
    "drop_block",
    "forget_deleted",
    "forget_deleted_sync",
    "has_account",
    "letta_user_for",
    "letta_user_for_sync",
    "list_agents",
    "note_belongings",
    "owned_agents",
    "owns",
    "policed_messages",
    "policed_passages",
    "put_block",
    "read_agent",
    "read_messages",
    "read_passages",
    "receive_agent",
    "record_agent",
    "record_created",
    "record_created_sync",
    "register_roster",
    "tool_ids",
)
