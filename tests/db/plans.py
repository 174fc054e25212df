"""What the database's planner says, for tests that an index is used."""

from typing import Any

from sqlalchemy.orm import Session


def query_plan(session: Session, statement: Any) -> str:
    """The planner's words for a statement."""
    bind = session.get_bind()
    compiled = statement.compile(bind, compile_kwargs={"literal_binds": True})
    prefix = "EXPLAIN QUERY PLAN" if bind.dialect.name == "sqlite" else "EXPLAIN"
    rows = session.connection().exec_driver_sql(f"{prefix} {str(compiled).replace('%', '%%')}").all()
    return "\n".join(str(row[-1]) for row in rows)
