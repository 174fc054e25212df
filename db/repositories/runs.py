"""Submitting, cancelling, retrying and deleting runs. Functions take the session first and never commit."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from db import status
from db.engine import batches, now
from db.errors import FinishedRun, LiveRun, UnknownRun
from db.models import Run, RunStage, Stage, StageInput
from db.records import CreatedRun, DeletedRun, NewRun, NewStage
from db.repositories import named_annotators, orphans
from db.repositories.graph import (
    refresh_priorities,
    refresh_runs,
    release_unwanted,
    requeue,
    runs_with,
    stages_of,
)
from db.repositories.guard import clean_text, lock_graph, plain
from db.repositories.lists import run_values

FURTHER = "@"  # in a slot: a stage that was added after the run's own, such as scores@NAME
STOPPED = (status.FAILED, status.CANCELLED)
SHOWN = (Run.archived.is_(False), Run.deleted_at.is_(None))  # runs that nobody put away


def there_before(session: Session, fingerprints: Collection[str]) -> frozenset[str]:
    """Which of these stages are done, or wanted by runs, before others are submitted."""
    lock_graph(session)
    there = select(Stage.fingerprint).where(Stage.status.not_in(STOPPED))
    found: set[str] = set()
    for some in batches(sorted(fingerprints), 500):
        found |= set(session.scalars(there.where(Stage.fingerprint.in_(some))))
    return frozenset(found)


def create(
    session: Session, run: NewRun, stages: Sequence[NewStage], *, before_all: Collection[str] | None = None
) -> CreatedRun:
    """Write a run and the stages it needs; stages known by fingerprint are shared, failed ones queued again.
    `before_all`: those that were there before anything was submitted together with the run, which alone it reuses."""
    lock_graph(session)
    at = now(session)
    known = _known(session, [stage.fingerprint for stage in stages])
    before = {fingerprint: stage.status for fingerprint, stage in known.items()}
    stopped = [stage.id for stage in known.values() if stage.status in STOPPED]
    requeue(session, stopped)
    slots = {stage.slot: stage.fingerprint for stage in stages}
    ids = _insert_missing(session, stages, known, slots, run.priority, at)
    row = Run(
        **_run_columns(run), status=status.QUEUED, archived=False, created_at=at, queued_at=at,
    )  # fmt: skip
    session.add(row)
    session.flush()
    taken = {fingerprint for fingerprint, state in before.items() if state not in STOPPED}
    reusable = taken if before_all is None else taken & set(before_all)
    session.execute(
        insert(RunStage),
        [_run_stage(row.id, stage, ids, reusable) for stage in stages],
    )
    run_values.add_run(session, row.id, row.config)
    refresh_priorities(session, set(ids.values()))
    refresh_runs(session, [row.id], at)
    done = {fingerprint for fingerprint, state in before.items() if state == status.DONE}
    return CreatedRun(
        run_id=row.id,
        stages=len(ids),
        reused=len(done),
        shared=len(taken - done),
    )


def extend(session: Session, run_id: int, stages: Sequence[NewStage], *, priority: int = 0) -> CreatedRun:
    """Give an evaluated run further stages over those it has: it waits for them, its results stay. Further stages of an
    earlier call that stopped are let go, and deleted where nothing else holds them."""
    lock_graph(session)
    run, at = _finished(session, run_id, "scored again"), now(session)
    let_go = _let_further_go(session, run_id)
    if let_go is None:
        raise LiveRun(f"Run {run_id} is {run.status} and has no evaluation: retry it first.")
    have = dict(_fingerprints(session, run_id))
    new = [stage for stage in stages if have.get(stage.slot) != stage.fingerprint]
    if again := [stage.slot for stage in new if stage.slot in have]:
        raise FinishedRun(f"Run {run_id} has {again[0]} from another version already: submit the run again instead.")
    known = _known(session, [*have.values(), *(stage.fingerprint for stage in new)])
    before = {fingerprint: stage.status for fingerprint, stage in known.items()}
    taken = {fingerprint for fingerprint, state in before.items() if state not in STOPPED}
    requeue(session, [stage.id for stage in known.values() if stage.status in STOPPED])
    slots = have | {stage.slot: stage.fingerprint for stage in new}
    ids = _insert_missing(session, new, known, slots, priority, at)
    if new:
        session.execute(insert(RunStage), [_run_stage(run_id, stage, ids, taken) for stage in new])
        run_values.add_finished(session, run_id, [stage.slot for stage in new])
    again_queued = {
        "status": status.QUEUED,
        "error": None,
        "failed_stage_id": None,
        "queued_at": at,
        "priority": priority,
        "paused": False,
    }
    session.execute(update(Run).where(Run.id == run_id).values(**again_queued))
    refresh_priorities(session, set(ids.values()))
    refresh_runs(session, [run_id], at)
    removed = orphans.remove(session, let_go)  # not before: the run may have taken some of them again
    return CreatedRun(
        run_id=run_id,
        stages=len(new),
        reused=sum(before.get(stage.fingerprint) == status.DONE for stage in new),
        shared=sum(before.get(stage.fingerprint) in status.LIVE for stage in new),
        removed=removed,
    )


def cancel(session: Session, run_id: int) -> tuple[str, ...]:
    """Stop a run; only stages that no other live run wants stop with it. An evaluated run that only waited for further
    stages is done again without them: those that nothing else holds are deleted, and the answer is their fingerprints,
    whose artifacts may be deleted once the transaction is committed."""
    lock_graph(session)
    run = _live(session, run_id, "cancelled")
    at = now(session)
    status.check_run(run.status, status.CANCELLED)
    session.execute(update(Run).where(Run.id == run_id).values(status=status.CANCELLED, finished_at=at, error=None))
    release_unwanted(session, [run_id], at, f"Cancelled with run {run_id}.")
    refresh_priorities(session, stages_of(session, [run_id]))
    let_go = _let_further_go(session, run_id)
    if let_go is None:
        return ()
    session.execute(update(Run).where(Run.id == run_id).values(status=status.DONE))
    return orphans.remove(session, let_go)


def retry(session: Session, run_id: int) -> tuple[int, ...]:
    """Queue the failed and cancelled stages of a run again. Other runs that the same stages had failed wait again too:
    the ids of every run that does."""
    lock_graph(session)
    run = _get(session, run_id)
    if run.status in status.LIVE:
        raise LiveRun(f"Run {run_id} is {run.status} already: cancel it first, or wait until it ends.")
    if run.status == status.DONE:
        raise FinishedRun(f"Run {run_id} is done, there is nothing to retry: submit it with another seed or salt.")
    waiting, fresh, at = {run_id}, {run_id}, now(session)
    while fresh:
        stopped = _stopped_stages(session, fresh)
        requeue(session, stopped)
        fresh = set(_failed_by(session, stopped)) - waiting
        waiting |= fresh
    session.execute(
        update(Run)
        .where(Run.id.in_(waiting))
        .values(
            status=status.QUEUED, error=None, failed_stage_id=None, queued_at=at, started_at=None, finished_at=None,
            paused=False,
        )
    )  # fmt: skip
    refresh_priorities(session, stages_of(session, waiting))
    refresh_runs(session, waiting, at)
    return tuple(sorted(waiting))


def set_priority(session: Session, run_id: int, priority: int) -> None:
    """Higher goes first; the stages of a run are as urgent as the most urgent run that wants them."""
    lock_graph(session)
    _live(session, run_id, "moved in the queue")
    session.execute(update(Run).where(Run.id == run_id).values(priority=priority))
    refresh_priorities(session, stages_of(session, [run_id]))


def archive(session: Session, run_id: int, archived: bool = True) -> None:
    """Hide a finished run from lists, or show it again."""
    lock_graph(session)
    _finished(session, run_id, "archived")
    session.execute(update(Run).where(Run.id == run_id).values(archived=archived))


def delete(session: Session, run_id: int) -> DeletedRun:
    """Remove a finished run, and the rows of stages that nothing else holds; a named annotator stays."""
    lock_graph(session)
    _finished(session, run_id, "deleted")
    return remove(session, run_id)


def remove(session: Session, run_id: int) -> DeletedRun:
    """The rows of a run that is known to be finished go. Callers hold the mutex."""
    mine = set(stages_of(session, [run_id]))
    session.execute(sql_delete(Run).where(Run.id == run_id))
    fingerprints = orphans.remove(session, mine)
    kept = named_annotators.names_of(session, mine)
    return DeletedRun(
        run_id=run_id, fingerprints=fingerprints, named=tuple(name for names in kept.values() for name in names)
    )


def _let_further_go(session: Session, run_id: int) -> set[int] | None:
    """Take unfinished further stages (slots with @) from a run: the stages that were in these slots. None, with nothing
    taken, where its own are not done."""
    rows = session.execute(
        select(RunStage.slot, RunStage.stage_id, Stage.status)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id == run_id)
    ).all()
    if any(row.status != status.DONE for row in rows if FURTHER not in row.slot):
        return None
    open_keys = {row.slot.partition(FURTHER)[2] for row in rows if row.status != status.DONE}
    gone = [row for row in rows if FURTHER in row.slot and row.slot.partition(FURTHER)[2] in open_keys]
    slots = [row.slot for row in gone]
    session.execute(sql_delete(RunStage).where(RunStage.run_id == run_id, RunStage.slot.in_(slots)))
    run_values.forget(session, run_id, slots)
    return {row.stage_id for row in gone}


def _fingerprints(session: Session, run_id: int) -> list[tuple[str, str]]:
    """Slot and fingerprint of every stage of the run."""
    rows = session.execute(
        select(RunStage.slot, Stage.fingerprint)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id == run_id)
    )
    return [(row.slot, row.fingerprint) for row in rows]


def _run_stage(run_id: int, stage: NewStage, ids: Mapping[str, int], reusable: Collection[str]) -> dict[str, object]:
    reused = stage.fingerprint in reusable
    return {"run_id": run_id, "slot": stage.slot, "stage_id": ids[stage.fingerprint], "reused": reused}


def _run_columns(run: NewRun) -> dict[str, object]:
    columns = {name: getattr(run, name) for name in NewRun.__dataclass_fields__}
    return columns | {"config": plain(run.config), "name": clean_text(run.name)[:200]}


def _known(session: Session, fingerprints: Sequence[str]) -> dict[str, Stage]:
    rows = session.scalars(select(Stage).where(Stage.fingerprint.in_(fingerprints)))
    return {stage.fingerprint: stage for stage in rows}


def _insert_missing(
    session: Session,
    stages: Sequence[NewStage],
    known: Mapping[str, Stage],
    slots: Mapping[str, str],
    priority: int,
    at: datetime,
) -> dict[str, int]:
    """Insert stages and edges that do not exist; the id of every fingerprint. `slots`: fingerprint of every slot."""
    ids = {fingerprint: stage.id for fingerprint, stage in known.items()}
    added: list[NewStage] = []
    for stage in stages:
        if stage.fingerprint in ids:
            _renew_needs(session, ids[stage.fingerprint], stage)
            continue
        row = Stage(
            fingerprint=stage.fingerprint, kind=stage.kind, version=stage.version, config=plain(stage.config),
            model=stage.model, device=stage.device, status=status.QUEUED, priority=priority, created_at=at,
            cards=stage.cards, card_bytes=stage.card_bytes, host_bytes=stage.host_bytes,
        )  # fmt: skip
        session.add(row)
        session.flush()
        ids[stage.fingerprint] = row.id
        added.append(stage)
    for stage in added:
        for name, slot in stage.inputs.items():
            if slot not in slots:
                raise ValueError(f"Stage {stage.slot} reads {name} from {slot!r}, which is no slot of this run.")
            session.add(StageInput(stage_id=ids[stage.fingerprint], name=name, input_stage_id=ids[slots[slot]]))
    session.flush()
    return ids


def _renew_needs(session: Session, stage_id: int, stage: NewStage) -> None:
    """What a stage needs while it waits is what the newest run that wants it says."""
    waits = update(Stage).where(Stage.id == stage_id, Stage.status == status.QUEUED)
    session.execute(waits.values(cards=stage.cards, card_bytes=stage.card_bytes, host_bytes=stage.host_bytes))


def _stopped_stages(session: Session, run_ids: Collection[int]) -> list[int]:
    return list(
        session.scalars(
            select(Stage.id)
            .join(RunStage, RunStage.stage_id == Stage.id)
            .where(RunStage.run_id.in_(run_ids), Stage.status.in_(STOPPED))
            .distinct()
        )
    )


def _failed_by(session: Session, stage_ids: Sequence[int]) -> list[int]:
    """Runs that one of these stages took down; runs somebody cancelled or put away stay as they are."""
    failed = runs_with(session, stage_ids, (status.FAILED,))
    return list(session.scalars(select(Run.id).where(Run.id.in_(failed), Run.failed_stage_id.in_(stage_ids), *SHOWN)))


def _get(session: Session, run_id: int) -> Run:
    run = session.get(Run, run_id)
    if run is None or run.deleted_at is not None:
        raise UnknownRun(
            f"There is no run {run_id}: it was deleted, or the link is wrong; look it up on the Runs page."
        )
    return run


def _live(session: Session, run_id: int, verb: str) -> Run:
    run = _get(session, run_id)
    if run.status not in status.LIVE:
        raise FinishedRun(f"Run {run_id} is {run.status} and cannot be {verb}: finished runs do not change.")
    return run


def _finished(session: Session, run_id: int, verb: str) -> Run:
    run = _get(session, run_id)
    if run.status in status.LIVE:
        raise LiveRun(f"Run {run_id} is {run.status} and cannot be {verb}: cancel it first.")
    return run
