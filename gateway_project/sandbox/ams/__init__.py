"""A stand-in for AMS, a remote Agent Management Service, with agents in the sandbox's Letta.

It answers the gateway's contract for one (``docs/AMS.md``) and, when told so, only what the first
AMS did.
"""

from __future__ import annotations

from gateway_project.sandbox.ams.app import create_app

__all__ = ("create_app",)
