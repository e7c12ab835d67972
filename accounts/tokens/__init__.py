"""Verification of Supabase access tokens. Knows neither Django nor the database.

``policy`` says what is accepted, ``fetch``, ``jwks`` and ``store`` provide the keys, ``jws`` proves
a signature, ``claims`` reads what was signed, and ``verify`` does it all in order.
"""
