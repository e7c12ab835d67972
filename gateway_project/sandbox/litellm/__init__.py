"""A stand-in for the LiteLLM proxy 1.109.1 with virtual keys: its wire, its errors, its faults."""

from gateway_project.sandbox.litellm.app import create_app

__all__ = ["create_app"]
