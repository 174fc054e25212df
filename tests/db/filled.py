"""Every table of a database of any revision with rows in it, and all rows as they are."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, Boolean, Connection, DateTime, Float, Integer, MetaData, Table, event, func, insert, select

from db.engine import UtcDateTime, make_engines, session_scope

FIRST = 900  # numbers of rows that are put in; none that a test makes is so high
_START = datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=UTC)
_TEXT = "é \u2028 \U0001f600 '\"; -- \\N\t"
Rows = Mapping[str, list[dict[str, Any]]]


def tables(connection: Connection) -> list[Table]:
    """The tables that are there, each behind those that it points to."""
    found = MetaData()
    event.listen(found, "column_reflect", _own_types)
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def fill(url: str, count: int = 2) -> None:
    """Put so many rows into every table, whatever its columns are."""
    engines = make_engines(url)
    with session_scope(engines) as session:
        for table in tables(session.connection()):
            session.execute(insert(table), [_row(table, number) for number in range(count)])
    engines.dispose()


def rows_of(url: str) -> Rows:
    """Every row of every table, in an order that does not depend on the database."""
    engines = make_engines(url)
    with session_scope(engines) as session:
        found = {
            table.name: sorted((dict(row._mapping) for row in session.execute(select(table))), key=repr)
            for table in tables(session.connection())
        }
    engines.dispose()
    return found


def empty_ones(rows: Rows) -> list[str]:
    return [name for name, found in rows.items() if not found]


def lost(before: Rows, after: Rows) -> list[str]:
    """Tables of which a row, as far as its columns are still there, is not among the later ones."""
    missing = []
    for name, rows in before.items():
        shared = [column for column in rows[0] if column in (after[name] or [{}])[0]] if rows else []
        there = {repr([row[column] for column in shared]) for row in after[name]}
        missing += [name for row in rows if not shared or repr([row[column] for column in shared]) not in there]
    return missing


def last_numbers(url: str) -> dict[str, int]:
    """The highest number of a row, by table."""
    engines = make_engines(url)
    with session_scope(engines) as session:
        numbered = [table for table in tables(session.connection()) if isinstance(_type(table, "id"), Integer)]
        found = {table.name: session.execute(select(func.max(table.c.id))).scalar() or 0 for table in numbered}
    engines.dispose()
    return found


def _row(table: Table, number: int) -> dict[str, Any]:
    return {column.name: _value(column, number) for column in table.columns}


def _value(column: Any, number: int) -> Any:
    kind = column.type
    if column.foreign_keys and isinstance(next(iter(column.foreign_keys)).column.type, Integer):
        return FIRST + number
    if isinstance(kind, Boolean):
        return number % 2 == 0
    if isinstance(kind, JSON):
        return {"name": _TEXT, "seed": number, "deep": [None, 0.1 + 0.2, {"a": True}]}
    if isinstance(kind, UtcDateTime):
        return _START + timedelta(days=number)
    if isinstance(kind, Float):
        return 0.1 + number / 3
    if isinstance(kind, Integer):
        return FIRST + number
    longest = getattr(kind, "length", None)
    return f"{number}{_TEXT}"[:longest] if longest is None or longest > 1 else "ab"[number % 2]


def _type(table: Table, name: str) -> Any:
    return table.columns[name].type if name in table.columns else None


def _own_types(inspector: Any, table: Table, column: dict[str, Any]) -> None:
    if isinstance(column["type"], DateTime):
        column["type"] = UtcDateTime()
    elif isinstance(column["type"], JSON):
        column["type"] = JSON(none_as_null=True)
