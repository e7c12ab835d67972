"""Who did what, and how it ended: events, their way to PostgreSQL, and a read-only admin."""
