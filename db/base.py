"""What all tables share: names of constraints, column types."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Float, MetaData
from sqlalchemy.orm import DeclarativeBase

from db.engine import UtcDateTime

# Names from the first revision on: without them SQLite cannot alter and Postgres cannot downgrade a constraint.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# Links and pointers must never lead to a newer row that got the number of a deleted one; Postgres does so anyway.
NEVER_REUSE_IDS = {"sqlite_autoincrement": True}


class Base(DeclarativeBase):
    """Shared metadata and column types."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012
        datetime: UtcDateTime,
        dict[str, Any]: JSON(none_as_null=True),
        float: Float(53),
    }
