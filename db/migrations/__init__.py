"""How the tables came to be what they are, for alembic; the only way in which a schema changes."""
