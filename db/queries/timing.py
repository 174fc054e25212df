"""What the expected time of stages and runs is made of. A page asks for it every other second: every query goes
through an index and is bounded."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, func, select, union_all
from sqlalchemy.orm import Session

from db import status
from db.engine import now
from db.models import Metric, Run, RunStage, Stage, StageInput, Worker
from db.queries.stages import measured_rows
from db.records import PACE, PACE_PARTS, LiveStage, MeasuredStage, Pace, QueueNow, StageWork

MOST_LIVE = 2_000  # stages that are looked at: of a longer queue the front


def queue_now(session: Session, *, most: int = MOST_LIVE) -> QueueNow:
    """The live stages with their places, and the living workers; in six queries however many there are."""
    at = now(session)
    rows = session.execute(
        select(
            Stage.id, Stage.fingerprint, Stage.kind, func.coalesce(Stage.model, "").label("model"), Stage.device,
            Stage.cards, Stage.priority, Stage.status, Stage.started_at, Stage.current_attempt_id,
            Worker.device.label("worker_device"),
        )
        .outerjoin(Worker, Worker.id == Stage.worker_id)
        .where(Stage.status.in_(status.LIVE))
        .order_by(case((Stage.status == status.RUNNING, 0), else_=1), Stage.priority.desc(), Stage.id)
        .limit(most + 1)
    ).all()  # fmt: skip
    shown = rows[:most]
    ids = [row.id for row in shown]
    runs, pairs = _runs(session, ids)
    running = [row for row in shown if row.status == status.RUNNING]
    paces = _paces(session, [row.current_attempt_id for row in running])
    inputs = _inputs(session, ids)
    stages = (
        LiveStage(
            stage_id=row.id, fingerprint=row.fingerprint, kind=row.kind, model=row.model, device=row.device,
            cards=row.cards, priority=row.priority,
            running_on=status.device_kind(row.worker_device or "cpu") if row.status == status.RUNNING else None,
            elapsed=max(0.0, (at - row.started_at).total_seconds()) if row.started_at is not None else None,
            pace=paces.get(row.current_attempt_id, ()) if row.status == status.RUNNING else (),
            inputs=tuple(inputs.get(row.id, ())), runs=tuple(runs.get(row.id, ())),
            data_pairs=next((pairs[run] for run in runs.get(row.id, ()) if run in pairs), None),
        )
        for row in shown
    )  # fmt: skip
    return QueueNow(
        at=at,
        stages=tuple(stage for stage in stages if stage.runs),
        workers=_living(session, at),
        cut=len(rows) > most,
    )


def work_of(session: Session, stage_runs: Sequence[tuple[int, int]]) -> list[StageWork]:
    """The settings of these stages, and the configuration of the run that stands beside each."""
    stages = {stage_id for stage_id, _ in stage_runs}
    runs = {run_id for _, run_id in stage_runs}
    found = session.execute(select(Stage.id, Stage.config).where(Stage.id.in_(stages)))
    settings = {row.id: row.config for row in found}
    asked = session.execute(select(Run.id, Run.config).where(Run.id.in_(runs)))
    configs = {row.id: row.config for row in asked}
    return [
        StageWork(stage_id=stage_id, stage_config=settings[stage_id], config=configs[run_id])
        for stage_id, run_id in stage_runs
        if stage_id in settings and run_id in configs
    ]


def measured_like(session: Session, wanted: Collection[tuple[str, str]], *, newest: int = 12) -> list[MeasuredStage]:
    """The newest finished stages of each of these (kind, model)."""
    if not wanted:
        return []
    found = [_newest(kind, model, newest) for kind, model in sorted(wanted)]
    ids = list(session.scalars(union_all(*found)))
    return measured_rows(session, ids)


def pace_of(session: Session, stage_id: int) -> Pace:
    """How the published attempt of a stage went on."""
    attempt = session.scalars(select(Stage.published_attempt_id).where(Stage.id == stage_id)).one()
    return _paces(session, [attempt]).get(attempt, ())


def _newest(kind: str, model: str, newest: int) -> Any:
    own = Stage.model.is_(None) if not model else Stage.model == model
    finished = (
        select(Stage.id)
        .where(Stage.kind == kind, own, Stage.status == status.DONE, Stage.seconds.is_not(None))
        .order_by(Stage.id.desc())
        .limit(newest)
        .subquery()
    )
    return select(finished.c.id)


def _runs(session: Session, stage_ids: Collection[int]) -> tuple[dict[int, list[int]], dict[int, int]]:
    """Live runs by stage, and the pairs of their data where those are read."""
    found = session.execute(
        select(RunStage.stage_id, RunStage.run_id)
        .join(Run, Run.id == RunStage.run_id)
        .where(RunStage.stage_id.in_(stage_ids), Run.status.in_(status.LIVE))
        .order_by(RunStage.run_id)
    )
    runs: dict[int, list[int]] = {}
    for stage_id, run_id in found:
        runs.setdefault(stage_id, []).append(run_id)
    first = {run_ids[0] for run_ids in runs.values()}
    data = session.execute(
        select(RunStage.run_id, Stage.summary)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.slot == "data", RunStage.run_id.in_(first), Stage.summary.is_not(None))
    )
    counted = {row.run_id: row.summary.get("train_pairs") for row in data}
    return runs, {run_id: int(pairs) for run_id, pairs in counted.items() if pairs is not None}


def _paces(session: Session, attempt_ids: Sequence[int | None]) -> dict[int | None, Pace]:
    points = session.execute(
        select(Metric.attempt_id, Metric.step, Metric.value)
        .where(Metric.attempt_id.in_(attempt_ids), Metric.name == PACE)
        .order_by(Metric.attempt_id, Metric.step)
    )
    found: dict[int | None, list[tuple[float, float]]] = {}
    for attempt_id, step, value in points:
        if value is not None:
            found.setdefault(attempt_id, []).append((step / PACE_PARTS, value))
    return {attempt_id: tuple(pace) for attempt_id, pace in found.items()}


def _inputs(session: Session, stage_ids: Collection[int]) -> dict[int, list[int]]:
    edges = session.execute(
        select(StageInput.stage_id, StageInput.input_stage_id).where(StageInput.stage_id.in_(stage_ids))
    )
    found: dict[int, list[int]] = {}
    for stage_id, source in edges:
        found.setdefault(stage_id, []).append(source)
    return found


def _living(session: Session, at: datetime) -> dict[str, int]:
    """Workers that were heard lately, by kind of device."""
    rows = session.execute(
        select(Worker.device, func.count())
        .where(
            Worker.state != status.WORKER_STOPPED,
            Worker.heartbeat_at >= at - timedelta(seconds=status.SILENT_SECONDS),
        )
        .group_by(Worker.device)
    )
    living = {"cpu": 0, "gpu": 0}
    for device, count in rows:
        living[status.device_kind(device)] += count
    return living
