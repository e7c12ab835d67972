"""Watches what the upstreams offer, and says when it is no longer what the catalogues know."""
