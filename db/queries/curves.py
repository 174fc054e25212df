"""Curves and logs of stages."""

from collections.abc import Collection
from typing import Any

import pandas as pd
from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from db.models import Attempt, LogLine, Metric, RunStage, Stage
from db.queries.common import contains, frame
from db.records import PACE, LogLineRow

PROBLEMS = ("Warning: ", "Traceback ", "  ")  # how lines of warnings and of Python's tracebacks begin
# The published attempt; before that the one that runs, or the last one that did.
SHOWN_ATTEMPT = func.coalesce(Stage.published_attempt_id, Stage.current_attempt_id)


def metrics(
    session: Session,
    stage_ids: Collection[int],
    names: Collection[str] | None = None,
    *,
    max_points: int = 500,
    between: tuple[int, int] | None = None,
) -> pd.DataFrame:
    """Points of the stages' curves, thinned evenly to about `max_points` a curve with the last point kept:
    stage_id, step, name, value (NaN where training met a value that is not finite). between: of these steps alone."""
    points = select(Stage.id.label("of"), Metric.step, Metric.name, Metric.value)
    shown = points.join_from(Stage, Metric, Metric.attempt_id == SHOWN_ATTEMPT).where(Stage.id.in_(stage_ids))
    if between is not None:
        shown = shown.where(Metric.step.between(*between))
    return _thinned(session, shown, names, max_points).rename(columns={"of": "stage_id"})


def metrics_of_runs(
    session: Session, run_ids: Collection[int], slot: str, names: Collection[str], *, max_points: int = 500
) -> pd.DataFrame:
    """The same of the runs' stages in this slot: run_id, step, name, value."""
    points = select(RunStage.run_id.label("of"), Metric.step, Metric.name, Metric.value).select_from(RunStage)
    shown = points.join(Stage, Stage.id == RunStage.stage_id).join(Metric, Metric.attempt_id == SHOWN_ATTEMPT)
    wanted = shown.where(RunStage.run_id.in_(run_ids), RunStage.slot == slot)
    return _thinned(session, wanted, names, max_points).rename(columns={"of": "run_id"})


def points_after(session: Session, stage_id: int, step: int, limit: int) -> list[tuple[int, str, float]]:
    """The finite points of a stage's curves beyond a step, in the order of steps: step, name, value."""
    points = select(Metric.step, Metric.name, Metric.value).join_from(Stage, Metric, Metric.attempt_id == SHOWN_ATTEMPT)
    beyond = points.where(Stage.id == stage_id, Metric.step > step, Metric.value.is_not(None), Metric.name != PACE)
    found = session.execute(beyond.order_by(Metric.step, Metric.name).limit(limit))
    return [(row.step, row.name, row.value) for row in found]


def final_metrics(session: Session, run_ids: Collection[int], slot: str, names: Collection[str]) -> pd.DataFrame:
    """Mean of each curve over the last tenth of its steps: run_id, name, value."""
    ends = (
        select(Metric.attempt_id, Metric.name, func.max(Metric.step).label("last"))
        .join(Stage, Metric.attempt_id == SHOWN_ATTEMPT)
        .join(RunStage, RunStage.stage_id == Stage.id)
        .where(RunStage.run_id.in_(run_ids), RunStage.slot == slot, Metric.name.in_(names))
        .group_by(Metric.attempt_id, Metric.name)
        .subquery()
    )
    found = (
        select(RunStage.run_id, Metric.name, func.avg(Metric.value))
        .join_from(RunStage, Stage, Stage.id == RunStage.stage_id)
        .join(ends, ends.c.attempt_id == SHOWN_ATTEMPT)
        .join(Metric, (Metric.attempt_id == ends.c.attempt_id) & (Metric.name == ends.c.name))
        .where(RunStage.run_id.in_(run_ids), RunStage.slot == slot, 10 * Metric.step > 9 * ends.c.last)
        .group_by(RunStage.run_id, Metric.name)
        .order_by(RunStage.run_id, Metric.name)
    )
    return frame(session, found, {"run_id": "int64", "name": "str", "value": "float64"})


def metric_names_of_runs(session: Session, run_ids: Collection[int], slot: str, names: Collection[str]) -> list[str]:
    """Which of these curves the runs' stages in this slot have; of each one point is looked up, however long it is."""
    shown = (
        select(SHOWN_ATTEMPT)
        .join(RunStage, RunStage.stage_id == Stage.id)
        .where(RunStage.run_id.in_(run_ids), RunStage.slot == slot)
        .distinct()
    )
    if not names:
        return []
    drawn = [exists().where(Metric.attempt_id.in_(shown), Metric.name == name) for name in names]
    found = session.execute(select(*(one.label(f"curve_{place}") for place, one in enumerate(drawn)))).one()
    return [name for name, there in zip(names, found, strict=True) if there]


def log_tail(
    session: Session,
    run_id: int,
    limit: int = 200,
    *,
    after_id: int = 0,
    slot: str = "",
    text: str = "",
    problems: bool = False,
) -> list[LogLineRow]:
    """The last lines of the run's stages, oldest first; `after_id` fetches only what is new. slot: of this stage alone;
    text: that stands in the line; problems: warnings and errors only."""
    wanted = [RunStage.slot == slot] if slot else []
    wanted += [contains(text.strip(), (LogLine.text,))] if text.strip() else []
    if problems:
        wanted.append(or_(*(LogLine.text.startswith(start) for start in PROBLEMS), LogLine.text.contains("Error")))
    rows = session.execute(
        select(LogLine.id, LogLine.at, RunStage.slot, LogLine.text)
        .join(Attempt, Attempt.id == LogLine.attempt_id)
        .join(RunStage, RunStage.stage_id == Attempt.stage_id)
        .where(RunStage.run_id == run_id, LogLine.id > after_id, *wanted)
        .order_by(LogLine.id.desc())
        .limit(limit)
    ).all()
    return [LogLineRow(**row._mapping) for row in reversed(rows)]


def _thinned(session: Session, points: Any, names: Collection[str] | None, max_points: int) -> pd.DataFrame:
    """Every n-th point of each curve, and its last."""
    wanted = points.where(Metric.name != PACE) if names is None else points.where(Metric.name.in_(names))
    key = [points.selected_columns.of, Metric.name]
    curve = wanted.add_columns(
        func.row_number().over(partition_by=key, order_by=Metric.step).label("place"),
        func.count().over(partition_by=key).label("points"),
    ).subquery()
    stride = 1 + (curve.c.points - 1) // max_points
    thinned = select(curve.c.of, curve.c.step, curve.c.name, curve.c.value).where(
        or_((curve.c.place - 1) % stride == 0, curve.c.place == curve.c.points)
    )
    columns = {"of": "int64", "step": "int64", "name": "str", "value": "float64"}
    return frame(session, thinned.order_by(curve.c.of, curve.c.name, curve.c.step), columns)
