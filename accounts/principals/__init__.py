"""From the Authorization header to the principal, for both planes.

A principal is worked out once and remembered for ``CACHE_TTL_JWT`` seconds at the most, in this
process and under the SHA-256 of the token: a known token costs neither a signature nor a query nor
a thread. The memory is worthless at once when the key that proved the token is no longer published,
and when the user is forgotten, which ``services`` bring about in every process; requests under way
are then proved again.

Access tokens of Supabase are one kind of token. Apps that issue others, which begin with a prefix
of their own, register what proves them. Whoever is on the deny-list is refused with any of them.
"""
