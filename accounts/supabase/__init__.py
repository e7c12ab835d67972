"""Supabase Auth as the gateway asks it: its users, and whether a session still lives.

``keys`` tells API keys apart, ``users`` reads what Auth says of a user, ``client`` knows its paths
and ``answers`` its errors; ``sync`` brings over what has changed there, and ``missing`` finds who
is there no longer.
"""
