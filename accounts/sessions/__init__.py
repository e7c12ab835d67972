"""Who may not go on, although their token is good: ended sessions, and users who are shut out.

``models`` keeps what was decided here, ``liveness`` asks Supabase Auth what was decided there,
``sensitive`` has views ask before what can't be undone, ``services`` changes things.
"""
