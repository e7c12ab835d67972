"""The bodies that callers send, field by field. What is not named here is not forwarded.

Field names are those of Letta 0.16.8's OpenAPI document.
"""
