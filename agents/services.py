"""What other apps, the API, the admin and commands do with agents.

Everything that changes something is on the audit trail.
"""

from __future__ import annotations

from agents.changing import delete_agent, resume_agent, suspend_agent, update_agent
from agents.drivers import manager
from agents.exports import export_agent, import_file
from agents.making import Created, Traits, clone_agent, create_agent

__all__ = (
    "Created",
    "Traits",
    "clone_agent",
    "create_agent",
    "delete_agent",
    "export_agent",
    "import_file",
    "manager",
    "resume_agent",
    "suspend_agent",
    "update_agent",
)
