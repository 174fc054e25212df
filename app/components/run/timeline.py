"""The stages of a run: what is done, what runs, how long it took and how long it should take."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

import streamlit as st

from app import untrusted
from app.components.frame import tables
from app.components.frame.export import Exported
from app.components.frame.formats import counted
from app.components.frame.tables import Cell, Column
from cwpo.report.listings import stage_numbers
from cwpo.report.numbers import NOTHING, duration
from cwpo.stages.graph import slot_name
from db.records import StageRow
from db.status import LIVE
from workers.plan.eta import StageTime
from workers.plan.words import left_words

EXPECTED = "expected"
COLUMNS = (
    Column(label="stage", whole=True),
    Column(label="status"),
    Column(label="progress", figures=True),
    Column(label="time", figures=True),
    Column(label=EXPECTED, figures=True, whole=True),
    Column(label="note", limit=60),
)
MEANINGS = (
    ("progress", "What the stage works through: pairs, steps, prompts or answers."),
    ("time", "From start to end; of a stage that runs, since its start."),
    (EXPECTED, "What is left of a stage that runs, and all of one that waits."),
    ("note", "Reused: it was there before the run was queued. For several runs: computed once for all of them."),
)
Times = Mapping[int, StageTime]  # by stage
NO_TIMES: Times = MappingProxyType({})
QUIET = frozenset({"queued", "cancelled"})


def show_timeline(stages: Sequence[StageRow], times: Times = NO_TIMES, now: datetime | None = None) -> None:
    """The table, and above it a bar for each stage that runs and knows its end."""
    moment = now or datetime.now(UTC)
    for stage in stages:
        if stage.status == "running":
            _bar(stage, times, moment)
    columns, rows = _table(stages, times, moment)
    tables.show(columns, rows, alt="Stages of the run")


def export(stages: Sequence[StageRow], times: Times = NO_TIMES, now: datetime | None = None) -> Exported:
    """The table as a file."""
    moment = now or datetime.now(UTC)
    timed = [replace(stage, expected_seconds=times[stage.stage_id].total) if stage.stage_id in times else stage
             for stage in stages]  # fmt: skip
    return Exported(
        name="Stages",
        numbers=lambda: stage_numbers(timed),
        cells=lambda: tables.as_table(*_table(stages, times, moment)),
    )


def _table(stages: Sequence[StageRow], times: Times, now: datetime) -> tuple[list[Column], list[list[Cell]]]:
    """Headings and cells; what is expected only while something waits or runs."""
    live = any(stage.status in LIVE for stage in stages)
    shown = [place for place, column in enumerate(COLUMNS) if live or column.label != EXPECTED]
    rows = [_row(stage, times, now) for stage in stages]
    return [COLUMNS[place] for place in shown], [[row[place] for place in shown] for row in rows]


def elapsed(stage: StageRow, now: datetime) -> float | None:
    """Seconds of the published attempt, or since a running stage was started."""
    if stage.status == "running" and stage.started_at is not None:
        return max(0.0, (now - stage.started_at).total_seconds())
    return stage.seconds


def summary_line(stages: Sequence[StageRow]) -> str:
    """12 of 15 stages done, 4 reused."""
    done = sum(stage.status == "done" for stage in stages)
    reused = sum(stage.reused for stage in stages)
    line = f"{done} of {counted(len(stages), 'stage')} done"
    return f"{line}, {reused} reused" if reused else line


def _bar(stage: StageRow, times: Times, now: datetime) -> None:
    words = [slot_name(stage.slot)]
    if stage.total:
        words.append(f"{stage.done or 0:,} of {stage.total:,} {stage.unit or ''}".strip())
    if stage.started_at is not None:
        words.append(duration(elapsed(stage, now)))
    words.append(left_words(times.get(stage.stage_id), running=True))
    line = untrusted.label(" · ".join(word for word in words if word), 200)
    if stage.total:
        st.progress(min(1.0, max(0.0, (stage.done or 0) / stage.total)), text=line)
    else:
        st.caption(line)


def _row(stage: StageRow, times: Times, now: datetime) -> list[Cell]:
    quiet = stage.status in QUIET
    return [
        Cell(text=slot_name(stage.slot), muted=quiet),
        Cell(text=stage.status, muted=stage.status != "running", strong=stage.status == "failed"),
        Cell(text=_progress(stage), muted=True),
        Cell(text=duration(elapsed(stage, now)), muted=quiet),
        Cell(text=_expected(stage, times), muted=True),
        Cell(text=_note(stage), muted=True),
    ]


def _expected(stage: StageRow, times: Times) -> str:
    """Of a stage that runs what is left, of one that waits what it will take."""
    if stage.status not in LIVE:
        return NOTHING
    return left_words(times.get(stage.stage_id), running=stage.status == "running")


def _progress(stage: StageRow) -> str:
    if stage.slot == "prompts" and stage.summary and "test_prompts" in stage.summary:
        return counted(stage.summary["test_prompts"], "prompt")  # its pairs are none by design
    if stage.total is None:
        return "–"
    done = "" if stage.status == "done" else f"{stage.done or 0:,} / "
    return f"{done}{stage.total:,} {stage.unit or ''}".strip()


def _note(stage: StageRow) -> str:
    notes = []
    if stage.reused:
        notes.append(f"reused, {stage.shared_by} runs" if stage.shared_by > 1 else "reused")
    elif stage.shared_by > 1:
        notes.append(f"for {stage.shared_by} runs")
    if stage.first_step:
        notes.append(f"resumed at step {stage.first_step:,}")
    if stage.attempts > 1:
        notes.append(f"attempt {stage.attempts}")
    if stage.status == "queued" and stage.device == "gpu":
        notes.append("waits for a GPU worker")
    if stage.status == "running" and stage.worker:
        notes.append(stage.worker)
    return ", ".join(notes)
