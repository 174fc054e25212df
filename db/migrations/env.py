"""Runs the migrations: on the connection that db.engine.upgrade hands over, or on the address of the command line."""

from typing import Any, Literal

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from db.engine import UtcDateTime, migration_scope
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
    address = context.get_x_argument(as_dictionary=True).get("url", "")
    if not address:
        raise CommandError(
            "Say which database: `alembic -x url=sqlite:////path/to/cwpo.sqlite upgrade head`, or postgresql://…"
        )
    with migration_scope(address) as opened:
        _run(opened)
