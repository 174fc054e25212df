"""Runs the migrations: on the connection db.engine.upgrade hands over, or on DATABASE_URL from the command line."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from db.engine import UtcDateTime, database_url, migration_scope
from db.models import Base


def _render(kind: str, item: Any, autogen_context: Any) -> str | Literal[False]:
    """Migrations are frozen: they name the plain type, not a class of today's code."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite changes a column only by rebuilding its table
        compare_type=True,
        render_item=_render,
    )
    with context.begin_transaction():
        context.run_migrations()


connection = context.config.attributes.get("connection")
if connection is not None:
    _run(connection)
else:
    with migration_scope(database_url()) as opened:
        _run(opened)
