"""A stand-in for Supabase Auth (GoTrue 2.196), checked against the official Python client."""

from gateway_project.sandbox.supabase.app import create_app
from gateway_project.sandbox.supabase.state import LEGACY_SECRET, PUBLISHABLE_KEY, SECRET_KEY

__all__ = ["LEGACY_SECRET", "PUBLISHABLE_KEY", "SECRET_KEY", "create_app"]
