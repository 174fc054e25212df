"""What runs are sorted and grouped by: the leaves of their configs, and the figures of their finished stages."""

import json
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import delete, exists, func, insert, literal, or_, select
from sqlalchemy.orm import Session

from db.models import RunStage, RunValue, Stage
from db.repositories.guard import clean_text

SECONDS = "seconds"  # of all stages of a run
MOST_FIGURES = 60  # of one stage
LONGEST_KEY, LONGEST_NAME, LONGEST_TEXT = 160, 80, 200


def add_run(session: Session, run_id: int, config: Mapping[str, Any]) -> None:
    """The fields of a new run, and the figures of those of its stages that were finished before."""
    rows = [_row(run_id, key, value) for key, value in _leaves(config) if value is not None]
    if rows:
        session.execute(insert(RunValue), rows)
    add_finished(session, run_id)


def add_finished(session: Session, run_id: int, slots: Collection[str] | None = None) -> None:
    """The figures of stages that were finished before the run had them; of all its slots, or of these."""
    finished = (
        select(RunStage.slot, Stage.summary)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id == run_id, Stage.published_attempt_id.is_not(None))
    )
    if slots is not None:
        finished = finished.where(RunStage.slot.in_(slots))
    done = session.execute(finished).all()
    figures = [_row(run_id, f"{row.slot}:{name}", value) for row in done for name, value in _figures(row.summary or {})]
    if figures:
        session.execute(insert(RunValue), figures)
    if done:
        _add_seconds(session, [run_id])


def add_figures(session: Session, stage_id: int, summary: Mapping[str, Any]) -> None:
    """The figures of a stage that is published now, for every run that has it."""
    remove_figures(session, [stage_id])
    for name, value in _figures(summary):
        rows = select(
            RunStage.run_id, RunStage.slot + literal(f":{name}"), literal(number_of(value)), literal(text_of(value))
        ).where(RunStage.stage_id == stage_id)
        session.execute(insert(RunValue).from_select(["run_id", "key", "number", "text"], rows))
    _add_seconds(session, list(session.scalars(select(RunStage.run_id).where(RunStage.stage_id == stage_id))))


def remove_figures(session: Session, stage_ids: Collection[int]) -> None:
    """Forget the figures of stages that are computed again."""
    having = select(RunStage.run_id).where(RunStage.stage_id.in_(stage_ids))
    its = exists().where(
        RunStage.run_id == RunValue.run_id,
        RunStage.stage_id.in_(stage_ids),
        func.substr(RunValue.key, 1, func.length(RunStage.slot) + 1) == RunStage.slot + literal(":"),
    )
    session.execute(
        delete(RunValue)
        .where(RunValue.run_id.in_(having), or_(its, RunValue.key == SECONDS))
        .execution_options(synchronize_session=False)
    )


def forget(session: Session, run_id: int, slots: Collection[str]) -> None:
    """The figures of slots that the run has not any more, whether their stages are finished or not."""
    for slot in slots:
        session.execute(
            delete(RunValue)
            .where(RunValue.run_id == run_id, RunValue.key.startswith(f"{slot}:", autoescape=True))
            .execution_options(synchronize_session=False)
        )
    if slots:
        _add_seconds(session, [run_id])


def number_of(value: Any) -> float | None:
    """A finite number, else None; yes and no are words."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 and math.isfinite(value) else None


def text_of(value: Any) -> str:
    """A value as people read it, cut to what the table holds."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return clean_text(text)[:LONGEST_TEXT]


def _row(run_id: int, key: str, value: Any) -> dict[str, Any]:
    return {"run_id": run_id, "key": key, "number": number_of(value), "text": text_of(value)}


def _add_seconds(session: Session, run_ids: Collection[int]) -> None:
    """What all stages of a run took, those that other runs have too included."""
    session.execute(
        delete(RunValue)
        .where(RunValue.run_id.in_(run_ids), RunValue.key == SECONDS)
        .execution_options(synchronize_session=False)
    )
    total = func.sum(Stage.seconds)
    rows = (
        select(RunStage.run_id, literal(SECONDS), total, literal(""))
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id.in_(run_ids), Stage.seconds.is_not(None))
        .group_by(RunStage.run_id)
    )
    session.execute(insert(RunValue).from_select(["run_id", "key", "number", "text"], rows))


def _figures(summary: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The numbers that a stage says of itself."""
    named = [
        (clean_text(name), value)
        for name, value in summary.items()
        if number_of(value) is not None and len(name) <= LONGEST_NAME
    ]
    yield from named[:MOST_FIGURES]


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of everything that a config says."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{clean_text(str(name))}.")
        elif len(prefix) + len(str(name)) <= LONGEST_KEY:
            yield f"{prefix}{clean_text(str(name))}", value
