"""The data plane: the way of a request that is forwarded. ``pipeline`` reads like a list.

An app declares a ``Route``: its upstream, its operations, and what it does at each step.
"""
