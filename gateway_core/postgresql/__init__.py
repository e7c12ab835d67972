"""Django's PostgreSQL backend, in bounded time: what ``ENGINE`` of the database names."""
