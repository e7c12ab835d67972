"""Agent Files: what an agent is made from, as text, as values, and with its variables filled in.

Pure functions over JSON values; nothing here knows of Django, users or Letta.
``docs/AGENT_FILE.md`` describes the format, ``schema.json`` is its shape.
"""
