"""What the gateway does in Letta itself, in a user's name and from synchronous code.

Apps above reach it through ``letta_proxy.services``. What is sent obeys the same rules as callers'
bodies; answers are without secrets and addresses, as callers get them.
"""
