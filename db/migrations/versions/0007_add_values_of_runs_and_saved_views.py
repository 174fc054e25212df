"""Add what runs are sorted and grouped by, one row per field and figure, and the saved views of the list."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BATCH = 5_000
LISTED = ["archived", "group_key", "id", "status", "method", "objective", "dataset", "seed"]
RUNS = sa.table("runs", sa.column("id", sa.Integer), sa.column("config", sa.JSON))
STAGES = sa.table(
    "stages",
    sa.column("id", sa.Integer),
    sa.column("summary", sa.JSON),
    sa.column("seconds", sa.Float),
    sa.column("published_attempt_id", sa.Integer),
)
RUN_STAGES = sa.table(
    "run_stages", sa.column("run_id", sa.Integer), sa.column("slot", sa.String), sa.column("stage_id", sa.Integer)
)


def upgrade() -> None:
    values = op.create_table(
        "run_values",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(160), nullable=False),
        sa.Column("number", sa.Float(53)),
        sa.Column("text", sa.String(200), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_values_run_id_runs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "key", name="pk_run_values"),
    )
    op.create_table(
        "saved_views",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_saved_views"),
        sa.UniqueConstraint("name", name="uq_saved_views_name"),
        sqlite_autoincrement=True,
    )
    _fill(values)
    op.create_index("ix_run_values_key", "run_values", ["key", "number", "text", "run_id"])
    op.create_index("ix_runs_listed", "runs", LISTED)


def downgrade() -> None:
    op.drop_index("ix_runs_listed", "runs")
    op.drop_table("saved_views")
    op.drop_table("run_values")


def _fill(values: sa.Table) -> None:
    """The fields and figures of the runs that are there already."""
    connection, last = op.get_bind(), 0
    while True:
        runs = connection.execute(sa.select(RUNS).where(RUNS.c.id > last).order_by(RUNS.c.id).limit(200)).all()
        if not runs:
            return
        last = runs[-1].id
        rows = {(run.id, key): value for run in runs for key, value in _leaves(run.config or {})}
        for run_id, key, value in _figures(connection, runs[0].id, last):
            rows[run_id, key] = value
        made = [
            {"run_id": run_id, "key": key, "number": _number(value), "text": _text(value)}
            for (run_id, key), value in rows.items()
            if value is not None
        ]
        for start in range(0, len(made), BATCH):
            connection.execute(sa.insert(values), made[start : start + BATCH])


def _figures(connection: Any, first: int, last: int) -> Iterator[tuple[int, str, float]]:
    """Numbers of published stages by run, and each run's seconds."""
    found = connection.execute(
        sa.select(RUN_STAGES.c.run_id, RUN_STAGES.c.slot, STAGES.c.summary, STAGES.c.seconds)
        .select_from(RUN_STAGES.join(STAGES, STAGES.c.id == RUN_STAGES.c.stage_id))
        .where(RUN_STAGES.c.run_id.between(first, last), STAGES.c.published_attempt_id.is_not(None))
    )
    seconds: dict[int, float] = {}
    for row in found:
        seconds[row.run_id] = seconds.get(row.run_id, 0.0) + (row.seconds or 0.0)
        for name, value in (row.summary or {}).items():
            if _number(value) is not None and not isinstance(value, bool) and len(name) <= 80:
                yield row.run_id, f"{row.slot}:{name}", value
    for run_id, total in seconds.items():
        yield run_id, "seconds", total


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        elif len(prefix) + len(name) <= 160:
            yield f"{prefix}{name}", value


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 and math.isfinite(value) else None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:200]
