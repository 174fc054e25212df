"""Every execution of every stage of a run: by whom, how it ended, where it resumed."""

from collections.abc import Sequence

import streamlit as st

from app.components.frame import layout, tables
from app.components.frame.formats import ago
from app.components.frame.tables import Cell, Column
from app.reads import results
from cwpo.report.listings import fields_of
from cwpo.report.numbers import duration
from cwpo.report.tables import Table
from cwpo.stages.graph import slot_name
from db import queries
from db.records import AttemptRow, StageRow

COLUMNS = (
    Column(label="stage"),
    Column(label="attempt", figures=True),
    Column(label="status"),
    Column(label="worker"),
    Column(label="pid", figures=True),
    Column(label="first step", figures=True),
    Column(label="time", figures=True),
    Column(label="started"),
    Column(label="cause", limit=200),
)


def show_attempts(stages: Sequence[StageRow], files: list[tables.Drawn]) -> None:
    """A stage that another run had executed shows that execution."""
    found: list[tuple[StageRow, AttemptRow]] = []
    with results.reading() as session:
        for stage in stages:
            if stage.attempts:
                found.extend((stage, attempt) for attempt in queries.attempts(session, stage.stage_id))
    if not found:
        layout.empty_state("Each execution of a stage is listed here once a worker has claimed one.")
        return
    rows = [_row(stage, attempt) for stage, attempt in found]
    tables.show_with_file(files, COLUMNS, rows, alt="Attempts", numbers=lambda: _numbers(found))
    st.caption("A reused stage shows the attempt that another run's submission caused.")


def _numbers(found: Sequence[tuple[StageRow, AttemptRow]]) -> Table:
    table = fields_of([attempt for _, attempt in found])
    stages = (stage.slot for stage, _ in found)
    return Table(
        columns=("stage", *table.columns),
        rows=tuple((stage, *row) for stage, row in zip(stages, table.rows, strict=True)),
    )


def _row(stage: StageRow, attempt: AttemptRow) -> list[object]:
    ended = attempt.finished_at
    took = (ended - attempt.started_at).total_seconds() if ended else None
    return [
        slot_name(stage.slot),
        attempt.token,
        Cell(text=attempt.status, strong=attempt.status in ("failed", "lost")),
        attempt.worker,
        attempt.pid,
        f"{attempt.first_step:,}" if attempt.first_step else None,
        duration(took),
        Cell(text=ago(attempt.started_at), muted=True),
        attempt.cause,
    ]
