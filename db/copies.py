"""All rows of the database as plain values, and back into an empty one: SQLite or Postgres, from either to either."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Connection, DateTime, MetaData, Table, event, func, insert, inspect, select, text
from sqlalchemy.orm import Session

from db.engine import UtcDateTime, head_revision, make_engines, read_scope, schema_revision
from db.errors import DatabaseUnavailable
from db.models import Base

AT_ONCE = 1_000  # rows that are read together
VERSIONS = "alembic_version"
# Rows that are there in a database that nobody has used yet.
_OF_MIGRATIONS = {
    "settings": "key = 'graph'",
    "audit_head": "number = 0",
}

Row = list[Any]


def columns() -> dict[str, list[str]]:
    """The columns of every table, tables in an order in which each follows those that it points to."""
    return {table.name: [column.name for column in table.columns] for table in Base.metadata.sorted_tables}


def check_current(session: Session) -> str:
    """The revision of the database, which must be the one that this program knows."""
    found = schema_revision(session)
    if found != head_revision():
        raise DatabaseUnavailable(
            f"The database has the schema {found or 'of nothing'}, this program needs {head_revision()}: "
            "`make start` brings it up to date, then retry."
        )
    return found


def rows(session: Session) -> Iterator[tuple[str, list[Row]]]:
    """Every table's rows, some at a time, as values that JSON can hold; one snapshot, if the session is a reader."""
    for table in Base.metadata.sorted_tables:
        found = session.execute(select(table), execution_options={"yield_per": AT_ONCE})
        for part in found.partitions():
            yield table.name, [[_plain(value) for value in row] for row in part]


def counters(session: Session) -> dict[str, int]:
    """The last number that each table gave to a row, deleted rows among them: numbers are never given twice."""
    if session.get_bind().dialect.name == "sqlite":
        return {row.name: row.seq for row in session.execute(text("SELECT name, seq FROM sqlite_sequence"))}
    asked = "SELECT last_value FROM pg_sequences WHERE schemaname || '.' || sequencename = :name"
    found: dict[str, int] = {}
    for table, name in _sequences(session.connection(), Base.metadata.sorted_tables).items():
        last = session.execute(text(asked), {"name": name}).scalars().first()
        if last is not None:
            found[table] = int(last)
    return found


def file_of(url: str) -> Path | None:
    """The file of a SQLite address."""
    engines = make_engines(url)
    address = engines.write.url
    engines.dispose()
    return Path(str(address.database)).absolute() if address.get_backend_name() == "sqlite" else None


def used_table(url: str) -> str | None:
    """A table of the database that holds something; None where nobody has used it yet."""
    engines = make_engines(url)
    try:
        with read_scope(engines) as session:
            there = set(inspect(session.connection()).get_table_names())
            for table in Base.metadata.sorted_tables:
                own = _OF_MIGRATIONS.get(table.name, "1 = 0")
                asked = text(f"SELECT 1 FROM {table.name} WHERE NOT ({own}) LIMIT 1")  # noqa: S608
                if table.name in there and session.execute(asked).first() is not None:
                    return table.name
    finally:
        engines.dispose()
    return None


class Filling:
    """An empty database of any revision that is filled in one transaction. `tables`: name -> its columns, as copied."""

    def __init__(self, connection: Connection, tables: Mapping[str, Sequence[str]]) -> None:
        self._connection, self._columns = connection, tables
        if connection.dialect.name == "postgresql":  # files are copied meanwhile
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        found = MetaData()
        event.listen(found, "column_reflect", _own_types)
        found.reflect(connection)
        self._tables = {table.name: table for table in found.sorted_tables if table.name != VERSIONS}
        if strange := [name for name, own in tables.items() if not self._has(name, own)]:
            raise DatabaseUnavailable(f"The copy has a table {strange[0]!r} that this program does not know.")
        for table in reversed(self._tables.values()):
            connection.execute(table.delete())

    def add(self, table: str, rows: Sequence[Row]) -> None:
        """Insert rows as `rows` gave them."""
        target, names = self._tables[table], self._columns[table]
        if any(len(row) != len(names) for row in rows):
            raise ValueError(f"A row of {table} has not the {len(names)} columns of its table.")
        if rows:
            kinds = [target.columns[name].type for name in names]
            read = [dict(zip(names, map(_value, kinds, row), strict=True)) for row in rows]
            self._connection.execute(insert(target), read)

    def set_counters(self, last: Mapping[str, int]) -> None:
        """Let every table go on counting behind the last number that it gave."""
        for table, change in _counting(self._connection, list(self._tables.values())).items():
            most = self._connection.execute(select(func.max(self._tables[table].columns["id"]))).scalar() or 0
            if number := max(most, last.get(table, 0)):
                for statement in change:
                    self._connection.execute(text(statement), {"table": table, "number": number})

    def _has(self, table: str, names: Sequence[str]) -> bool:
        return table in self._tables and all(name in self._tables[table].columns for name in names)


def _counting(connection: Connection, tables: Sequence[Table]) -> dict[str, tuple[str, ...]]:
    """Table -> statements that set its counter to :number."""
    if connection.dialect.name == "sqlite":
        asked = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
        change = (
            "DELETE FROM sqlite_sequence WHERE name = :table",
            "INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :number)",
        )
        return dict.fromkeys(connection.execute(text(asked)).scalars(), change)
    return {table: (f"SELECT setval('{name}', :number)",) for table, name in _sequences(connection, tables).items()}


def _sequences(connection: Connection, tables: Sequence[Table]) -> dict[str, str]:
    """Table -> the sequence that counts its column `id`, on Postgres."""
    asked = text("SELECT pg_get_serial_sequence(:table, 'id')")
    named = {
        table.name: connection.execute(asked, {"table": table.name}).scalar()
        for table in tables
        if "id" in table.columns
    }
    return {table: str(name) for table, name in named.items() if name}


def _own_types(inspector: Any, table: Table, column: dict[str, Any]) -> None:
    if isinstance(column["type"], DateTime):
        column["type"] = UtcDateTime()
    elif isinstance(column["type"], JSON):
        column["type"] = JSON(none_as_null=True)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _value(kind: Any, value: Any) -> Any:
    return datetime.fromisoformat(value) if isinstance(kind, UtcDateTime) and value is not None else value
