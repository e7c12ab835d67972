"""Agent templates and their immutable versions."""
