"""A stand-in for the Letta V1 server 0.16.8: its wire, its statuses and its faults.

It keeps agents in memory and answers with a deterministic model, so that the gateway can be run
and its isolation proved without the real server. Where it is wrong on purpose, a comment says
"as the real server".
"""

from __future__ import annotations

from gateway_project.sandbox.letta.app import create_app

__all__ = ["create_app"]
