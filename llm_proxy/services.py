"""What other apps ask of this one."""

from __future__ import annotations

from llm_proxy.virtual_keys.grants import Grant, credential_for, grant_for
from llm_proxy.virtual_keys.services import (
    block_virtual_key,
    erase_virtual_keys,
    replace_virtual_key,
    retire_virtual_key,
    tell_of_user,
    unblock_virtual_key,
)

__all__ = (
    "Grant",
    "block_virtual_key",
    "credential_for",
    "erase_virtual_keys",
    "grant_for",
    "replace_virtual_key",
    "retire_virtual_key",
    "tell_of_user",
    "unblock_virtual_key",
)
