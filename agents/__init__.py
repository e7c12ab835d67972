"""Agents: made from templates through AMS, kept in step with Letta, suspended, cloned, deleted."""
