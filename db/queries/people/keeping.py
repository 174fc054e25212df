"""What people say of their runs, the queue run by run, and which runs ended: for bars, panels, messages, mirrors."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select, true
from sqlalchemy.orm import Session

from db import status
from db.engine import now
from db.models import Notice, Run, RunNote, RunStage, RunTag, Setting, Stage
from db.queries.results import evaluations
from db.readiness import QUEUE_PAUSED, inputs_missing
from db.records.keeping import (
    EndedRun,
    KeptRun,
    LatelyDeleted,
    MirroredRun,
    NoticeCounts,
    QueuedRun,
    QueuePage,
    TagCount,
)

MOST_TAGS = 200
_BETWEEN = ","  # two tags: no tag has one


def kept_runs(session: Session, run_ids: Collection[int]) -> list[KeptRun]:
    """The runs with their tags and notes, by number, in one query; those that are gone are left out."""
    rows = session.execute(
        select(Run.id, Run.name, Run.status, Run.pinned, Run.paused, Run.archived, RunNote.text)
        .add_columns(tags_column().label("tags"))
        .outerjoin(RunNote, RunNote.run_id == Run.id)
        .where(Run.id.in_(run_ids), Run.deleted_at.is_(None))
        .order_by(Run.id)
    ).all()
    return [
        KeptRun(
            id=row.id, name=row.name, status=row.status, pinned=row.pinned, paused=row.paused, archived=row.archived,
            tags=tags_from(row.tags), note=row.text or "",
        )
        for row in rows
    ]  # fmt: skip


def tags_column() -> Any:
    """The tags of a run beside whatever else is read of it, for `tags_from`."""
    together = func.aggregate_strings(RunTag.tag, _BETWEEN)
    return select(together).where(RunTag.run_id == Run.id).correlate(Run).scalar_subquery()


def tags_from(together: str | None) -> tuple[str, ...]:
    """The tags of a run, in the order of the alphabet."""
    return tuple(sorted(together.split(_BETWEEN))) if together else ()


def tags_of(session: Session, run_ids: Collection[int]) -> dict[int, tuple[str, ...]]:
    """The tags of each run that has any, in the order of the alphabet."""
    rows = session.execute(
        select(RunTag.run_id, RunTag.tag).where(RunTag.run_id.in_(run_ids)).order_by(RunTag.run_id, RunTag.tag)
    )
    found: dict[int, tuple[str, ...]] = {}
    for row in rows:
        found[row.run_id] = (*found.get(row.run_id, ()), row.tag)
    return found


def notes_of(session: Session, run_ids: Collection[int]) -> dict[int, str]:
    """The note of each run that has one."""
    rows = session.execute(select(RunNote.run_id, RunNote.text).where(RunNote.run_id.in_(run_ids)))
    return {row.run_id: row.text for row in rows}


def all_tags(session: Session) -> list[TagCount]:
    """Every tag with how many runs have it, the most used first."""
    return [TagCount(tag=row.tag, runs=row.runs) for row in session.execute(most_used_tags())]


def most_used_tags() -> Any:
    """The statement of `all_tags`: tag and runs."""
    number = func.count()
    return (
        select(RunTag.tag, number.label("runs"))
        .join(Run, Run.id == RunTag.run_id)
        .where(Run.deleted_at.is_(None))
        .group_by(RunTag.tag)
        .order_by(number.desc(), RunTag.tag)
        .limit(MOST_TAGS)
    )


def deleted_lately(session: Session, *, limit: int = 400) -> list[LatelyDeleted]:
    """Runs that are deleted and not removed yet, the last first."""
    columns = (Run.id, Run.name, Run.method_label, Run.objective, Run.seed, Run.owner, Run.deleted_at)
    hidden = select(*columns).where(Run.deleted_at.is_not(None))
    rows = session.execute(hidden.order_by(Run.deleted_at.desc(), Run.id.desc()).limit(limit))
    return [LatelyDeleted(**row._mapping) for row in rows]


def has_tags(tags: Collection[str]) -> list[ColumnElement[bool]]:
    """One condition per tag: the run has it."""
    return [exists(select(1).where(RunTag.run_id == Run.id, RunTag.tag == tag)) for tag in tags]


def queue_paused(session: Session) -> bool:
    """Whether the queue is paused as a whole."""
    return bool(session.execute(select(is_queue_paused())).scalar_one())


def is_queue_paused() -> Any:
    """The same as a column of a statement."""
    return exists(select(1).where(Setting.key == QUEUE_PAUSED))


def queued_runs(session: Session, *, limit: int = 50, skip: int = 0) -> QueuePage:
    """Live runs in the order of the queue, behind the first `skip`, with what is left of them, in one query whatever
    their number."""
    live = (Run.status.in_(status.LIVE),)
    first = (
        select(Run.id, Run.name, Run.method_label, Run.objective, Run.seed, Run.status, Run.paused, Run.priority)
        .where(*live)
        .order_by(Run.priority.desc(), Run.id)
        .limit(limit)
        .offset(skip)
        .subquery("first")
    )
    total = select(func.count()).select_from(Run).where(*live).scalar_subquery().label("total")
    whole = select(total, is_queue_paused().label("whole_queue")).subquery("whole")  # one row, also without a live run
    stage = (RunStage.slot, Stage.id.label("stage_id"), Stage.status.label("stage_status"))
    found = session.execute(
        select(*whole.c, *first.c, *stage, inputs_missing().label("missing"))
        .select_from(whole)
        .outerjoin(first, true())
        .outerjoin(RunStage, RunStage.run_id == first.c.id)
        .outerjoin(Stage, Stage.id == RunStage.stage_id)
        .order_by(first.c.priority.desc(), first.c.id, Stage.id)
    ).all()
    stages: dict[int, list[Any]] = {}
    for row in found:
        if row.id is not None:
            stages.setdefault(row.id, []).append(row)
    names = tuple(column.key for column in first.c)
    rows = tuple(
        QueuedRun(place=place, **{name: getattr(its[0], name) for name in names}, **_left(its))
        for place, its in enumerate(stages.values(), skip + 1)
    )
    return QueuePage(rows=rows, total=found[0].total, paused=bool(found[0].whole_queue))


def _left(stages: Collection[Any]) -> dict[str, Any]:
    """What is left of a run's stages."""
    known = [stage for stage in stages if stage.stage_id is not None]
    open_ones = [stage for stage in known if stage.stage_status != status.DONE]
    running = [stage for stage in open_ones if stage.stage_status == status.RUNNING]
    ready = [stage for stage in open_ones if stage.stage_status == status.QUEUED and not stage.missing]
    return {
        "stages": len(known),
        "stages_left": len(open_ones),
        "running": tuple(stage.slot for stage in running),
        "next_slot": ready[0].slot if ready else None,
        "waits_for": next((stage.slot for stage in open_ones), None),
    }


ENDED = (
    Run.id, Run.name, Run.method_label, Run.objective, Run.seed, Run.sweep_id.label("sweep"), Run.status, Run.error,
    Run.finished_at,
)  # fmt: skip
MOST_ENDED = 5_000


def ended_runs(session: Session, since: datetime) -> list[EndedRun]:
    """Runs that ended since then, the first first, without their results; those that were cancelled too, because
    their sweep may have ended with them."""
    ended = select(*ENDED).where(Run.finished_at >= since, Run.status.not_in(status.LIVE))
    rows = session.execute(ended.order_by(Run.finished_at, Run.id).limit(MOST_ENDED))
    return [EndedRun(**row._mapping) for row in rows]


def sweep_runs(session: Session, sweep: str) -> list[EndedRun] | None:
    """The runs of a sweep; None while one of them is queued or running."""
    of_sweep = (Run.sweep_id == sweep, Run.deleted_at.is_(None))
    if session.scalars(select(Run.id).where(*of_sweep, Run.status.in_(status.LIVE)).limit(1)).first() is not None:
        return None
    rows = session.execute(select(*ENDED).where(*of_sweep, Run.finished_at.is_not(None)).order_by(Run.id))
    return with_results(session, [EndedRun(**row._mapping) for row in rows])


def with_results(session: Session, runs: Collection[EndedRun]) -> list[EndedRun]:
    """The same runs with their GRA, where they have one."""
    graded = evaluations(session, [run.id for run in runs])
    return [
        replace(run, gra=graded[run.id].gra, low=graded[run.id].ci_low, high=graded[run.id].ci_high)
        if run.id in graded
        else run
        for run in runs
    ]


def notice_counts(session: Session, target: str) -> NoticeCounts:
    """How messages of the last day fared on their way to one target."""
    recent = (Notice.target == target, Notice.created_at > now(session) - timedelta(days=1))
    rows = session.execute(
        select(Notice.sent_at, Notice.next_at, Notice.error).where(*recent).order_by(Notice.id.desc()).limit(1_000)
    ).all()
    sent = sum(row.sent_at is not None for row in rows)
    waiting = sum(row.next_at is not None for row in rows)
    return NoticeCounts(
        sent=sent, waiting=waiting, given_up=len(rows) - sent - waiting,
        error=next((row.error for row in rows if row.error), None),
    )  # fmt: skip


def runs_to_mirror(session: Session, since: datetime) -> list[MirroredRun]:
    """Runs that began and are live, then those that ended since then, the first first."""
    there = (Run.deleted_at.is_(None),)
    live = select(Run.id).where(Run.status.in_(status.LIVE), Run.started_at.is_not(None), *there).order_by(Run.id)
    began = or_(Run.status == status.DONE, Run.started_at.is_not(None))  # one that reuses everything never starts
    ended = select(Run.id, Run.finished_at).where(
        Run.finished_at >= since, Run.status.not_in(status.LIVE), began, *there
    )
    rows = session.execute(ended.order_by(Run.finished_at, Run.id).limit(MOST_ENDED)).all()
    return [MirroredRun(id=run_id, ended_at=None) for run_id in session.scalars(live)] + [
        MirroredRun(id=row.id, ended_at=row.finished_at) for row in rows
    ]
