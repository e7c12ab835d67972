"""LiteLLM's management API. Its paths are known here alone, but for those of its books.

Facts are of LiteLLM 1.109.1. Every call raises ``UpstreamCredentialRejected`` when the master key
is not LiteLLM's, ``UpstreamUnreachable`` when LiteLLM or its database is away, and another
``UpstreamError`` for any other failure. The model calls of users go through the same pool of
connections.
"""
