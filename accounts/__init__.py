"""End users and staff: who a caller is, proved by a token of Supabase Auth."""
