"""The life of a stage: claim, heartbeat, publish, fail, requeue. Every status change of a stage is here or in runs."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db import status
from db.engine import now
from db.errors import UnknownWorker
from db.models import Artifact, Attempt, Histogram, Run, RunStage, Stage, StageInput, Worker
from db.records import ClaimedStage, NewArtifact, Requeued
from db.repositories import cards
from db.repositories.graph import (
    close_attempts,
    moving,
    refresh_runs,
    release_unwanted,
    remove_curves,
    remove_results,
    requeue,
    runs_with,
)
from db.repositories.guard import check_token, clean_text, lock_graph, plain, stale
from db.repositories.lists import run_values
from db.repositories.metrics import carry_over

# A stage that takes its worker down this often in a row, without getting further, is not tried again by itself.
MAX_LOSSES = 5


def claim(
    session: Session, worker_id: int, device: str, lease_seconds: float, *, environment: Mapping[str, Any] | None = None
) -> ClaimedStage | None:
    """Take the most urgent ready stage that this worker can run on `device`, with the cards of others where it needs
    several (db/placement.py), or None. Compare-and-set: one of two claimers wins. Who claims has ended what it did."""
    lock_graph(session)
    worker = session.get(Worker, worker_id)
    if worker is None:
        raise UnknownWorker(f"No worker has number {worker_id}: register it before it claims.")
    at = now(session)
    while True:
        cards.give_back(session, worker_id)
        start = cards.start_for(session, worker_id, device)
        if start is None:
            return None
        stage = session.scalars(_fresh(select(Stage).where(Stage.id == start.stage.stage_id))).one()
        lenders = [card.worker_id for card in start.cards[1:]]
        if cards.lend(session, worker_id, stage.id, lenders) and _take(session, stage, worker, at, lease_seconds):
            break
    attempt = Attempt(
        stage_id=stage.id, token=stage.token + 1, worker_id=worker.id, worker=worker.name, pid=worker.pid,
        host=worker.host, device=device, status=status.ATTEMPT_RUNNING, started_at=at,
        environment=None if environment is None else plain(environment),
    )  # fmt: skip
    session.add(attempt)
    session.flush()
    session.execute(_update(stage.id).values(current_attempt_id=attempt.id))
    _refresh(session, stage.id, at)
    return _claimed(session, stage, attempt, tuple(card.name or device for card in start.cards))


def heartbeat(
    session: Session,
    stage_id: int,
    token: int,
    lease_seconds: float,
    *,
    done: int | None = None,
    total: int | None = None,
    unit: str | None = None,
) -> str:
    """Extend the lease and report progress: "held", or "cancelled" or "taken" where the worker has to stop."""
    values: dict[str, Any] = {"lease_expires_at": now(session) + timedelta(seconds=lease_seconds)}
    values |= {name: value for name, value in (("done", done), ("total", total), ("unit", unit)) if value is not None}
    if _hit(session, _update(stage_id).where(Stage.token == token, Stage.status == status.RUNNING).values(values)):
        return status.HELD
    cancelled = select(Stage.id).where(Stage.id == stage_id, Stage.token == token, Stage.status == status.CANCELLED)
    return status.CANCELLED if session.execute(cancelled).first() else status.TAKEN


def start_at(session: Session, stage_id: int, token: int, first_step: int) -> None:
    """Say at which step this attempt starts: points of earlier attempts up to there become its own, later ones go.
    Where that is further than ever, the stage does not take its workers down for nothing, and its losses are forgotten.
    """
    check_token(session, stage_id, token)
    attempt_id = _attempt_id(session, stage_id, token)
    furthest = select(func.max(Attempt.first_step)).where(Attempt.stage_id == stage_id, Attempt.id != attempt_id)
    if first_step > (session.execute(furthest).scalar_one() or 0):
        session.execute(_update(stage_id).values(losses=0))
    session.execute(update(Attempt).where(Attempt.id == attempt_id).values(first_step=first_step))
    carry_over(session, stage_id, attempt_id, first_step)


def note(session: Session, stage_id: int, token: int, sentence: str) -> None:
    """Say beside the running attempt what went otherwise than usual; it stays where the attempt ends well."""
    attempt_id = _attempt_id(session, stage_id, token)
    session.execute(update(Attempt).where(Attempt.id == attempt_id).values(cause=clean_text(sentence)))


def publish(
    session: Session,
    stage_id: int,
    token: int,
    *,
    summary: Mapping[str, Any],
    seconds: float,
    artifact: NewArtifact | None = None,
) -> None:
    """Make a result visible, once: a second call, or one under an old token, raises StaleToken."""
    lock_graph(session)
    at = now(session)
    attempt_id = _attempt_id(session, stage_id, token)
    if not _hit(
        session,
        _held(stage_id, token, status.DONE).values(
            published_attempt_id=attempt_id, summary=plain(summary), seconds=seconds, error=None,
            losses=0, worker_id=None, lease_expires_at=None, finished_at=at,
            done=func.coalesce(Stage.total, Stage.done),
        ),
    ):  # fmt: skip
        raise stale(stage_id, token)
    _end_attempt(session, attempt_id, status.ATTEMPT_PUBLISHED, at)
    remove_curves(session, stage_id, but=attempt_id)
    if artifact is not None:
        _store_artifact(session, stage_id, artifact, at)
    run_values.add_figures(session, stage_id, summary)
    _refresh(session, stage_id, at)


def is_published(session: Session, stage_id: int, token: int) -> bool:
    """Whether the attempt under this token published the stage."""
    attempt = select(Attempt.id).where(Attempt.stage_id == stage_id, Attempt.token == token)
    published = select(Stage.id).where(Stage.id == stage_id, Stage.published_attempt_id == attempt.scalar_subquery())
    return session.execute(published).first() is not None


def take_back(session: Session, stage_id: int, token: int) -> None:
    """Remove the bulk rows that a held stage wrote so far, to write them anew; what is shown live stays."""
    check_token(session, stage_id, token)
    remove_results(session, [_attempt_id(session, stage_id, token)], but=(Histogram,))


def fail(session: Session, stage_id: int, token: int, *, error: str) -> None:
    """Record why a stage failed; every live run that needs it fails with that sentence, other runs go on."""
    lock_graph(session)
    at = now(session)
    if not _hit(
        session,
        _held(stage_id, token, status.FAILED).values(
            error=clean_text(error), worker_id=None, lease_expires_at=None, finished_at=at
        ),
    ):
        raise stale(stage_id, token)
    close_attempts(session, [stage_id], status.ATTEMPT_FAILED, at, clean_text(error))
    _fail_runs(session, stage_id, clean_text(error), at)


def release(session: Session, stage_id: int, token: int, *, cause: str) -> None:
    """Give a stage back to the queue at once, because its worker stops."""
    lock_graph(session)
    at = now(session)
    _let_go(session, stage_id, token, status.QUEUED, cause, at)
    _refresh(session, stage_id, at)


def lose(session: Session, stage_id: int, token: int, *, cause: str | None) -> Requeued:
    """A held stage whose processes died goes back to the queue and counts as lost; one lost MAX_LOSSES times in a row
    fails instead. cause: in a sentence; None: that they stopped answering."""
    lock_graph(session)
    at = now(session)
    held = select(Stage).where(Stage.id == stage_id, Stage.token == token, Stage.status == status.RUNNING)
    stage = session.scalars(_fresh(held.with_for_update())).first()
    if stage is None:
        raise stale(stage_id, token)
    return _requeue_one(session, stage, at, cause)


def times_lost(session: Session, stage_id: int) -> int:
    """How many attempts of the stage ended without a result, for whatever reason but a failure or cancellation."""
    lost = select(func.count()).where(Attempt.stage_id == stage_id, Attempt.status == status.ATTEMPT_LOST)
    return session.execute(lost).scalar_one()


def refuse(session: Session, stage_id: int, token: int, *, cause: str) -> None:
    """Record that an attempt which had lost its stage came back with a result, and remove what it wrote; of a stage
    that was deleted meanwhile nothing is left."""
    attempt_id = _find_attempt(session, stage_id, token)
    if attempt_id is None:
        return
    late = (status.ATTEMPT_LOST, status.ATTEMPT_CANCELLED)
    session.execute(
        update(Attempt)
        .where(Attempt.id == attempt_id, Attempt.status.in_(late))
        .values(status=status.ATTEMPT_REFUSED, cause=clean_text(cause))
    )
    published = select(Stage.id).where(Stage.id == stage_id, Stage.published_attempt_id == attempt_id)
    if session.execute(published).first() is None:
        remove_results(session, [attempt_id])


def requeue_expired(session: Session) -> list[Requeued]:
    """Stages whose lease ran out go back to the queue; a stage lost MAX_LOSSES times in a row fails instead."""
    lock_graph(session)
    at = now(session)
    expired = select(Stage).where(Stage.status == status.RUNNING, Stage.lease_expires_at < at).order_by(Stage.id)
    return [
        _requeue_one(session, stage, at, None) for stage in session.scalars(_fresh(expired.with_for_update())).all()
    ]


def reopen(session: Session, fingerprints: Collection[str]) -> int:
    """Queue done stages again whose artifact was found missing or damaged; how many."""
    lock_graph(session)
    gone = select(Stage).where(Stage.fingerprint.in_(fingerprints), Stage.status == status.DONE)
    stages = session.scalars(gone).all()
    ids = [stage.id for stage in stages]
    published = [stage.published_attempt_id for stage in stages if stage.published_attempt_id is not None]
    remove_results(session, published)
    session.execute(update(Attempt).where(Attempt.id.in_(published)).values(status=status.ATTEMPT_LOST))
    requeue(session, ids)
    refresh_runs(session, runs_with(session, ids, status.LIVE), now(session))
    return len(ids)


def _update(stage_id: int) -> Any:
    return update(Stage).where(Stage.id == stage_id).execution_options(synchronize_session=False)


def _held(stage_id: int, token: int, after: str) -> Any:
    """The update that ends a claim: it hits the stage while it runs under this token."""
    ending = moving((status.RUNNING,), after).where(Stage.id == stage_id, Stage.token == token)
    return ending.execution_options(synchronize_session=False)


def _fresh(statement: Any) -> Any:
    """Read the row as it is now, not as this session saw it before."""
    return statement.execution_options(populate_existing=True)


def _hit(session: Session, statement: Any) -> bool:
    """Whether a compare-and-set found its row."""
    result: Any = session.execute(statement)
    return bool(result.rowcount == 1)


def _take(session: Session, stage: Stage, worker: Worker, at: datetime, lease_seconds: float) -> bool:
    taking = moving((status.QUEUED,), status.RUNNING).where(Stage.id == stage.id, Stage.token == stage.token)
    return _hit(
        session,
        taking.execution_options(synchronize_session=False).values(
            token=stage.token + 1, worker_id=worker.id, started_at=at, finished_at=None,
            lease_expires_at=at + timedelta(seconds=lease_seconds), error=None,
        ),
    )  # fmt: skip


def _claimed(session: Session, stage: Stage, attempt: Attempt, names: tuple[str, ...]) -> ClaimedStage:
    edges = session.execute(
        select(StageInput.name, Stage.fingerprint, Stage.id)
        .join(Stage, Stage.id == StageInput.input_stage_id)
        .where(StageInput.stage_id == stage.id)
        .order_by(StageInput.name)
    ).all()
    return ClaimedStage(
        stage_id=stage.id, attempt_id=attempt.id, token=attempt.token, kind=stage.kind, version=stage.version,
        fingerprint=stage.fingerprint, config=stage.config, priority=stage.priority, cards=names,
        inputs={edge.name: edge.fingerprint for edge in edges},
        input_stage_ids={edge.name: edge.id for edge in edges},
    )  # fmt: skip


def _attempt_id(session: Session, stage_id: int, token: int) -> int:
    found = _find_attempt(session, stage_id, token)
    if found is None:
        raise stale(stage_id, token)
    return found


def _find_attempt(session: Session, stage_id: int, token: int) -> int | None:
    return session.scalars(select(Attempt.id).where(Attempt.stage_id == stage_id, Attempt.token == token)).first()


def _end_attempt(session: Session, attempt_id: int, state: str, at: datetime) -> None:
    session.execute(update(Attempt).where(Attempt.id == attempt_id).values(status=state, finished_at=at))


def _store_artifact(session: Session, stage_id: int, artifact: NewArtifact, at: datetime) -> None:
    fingerprint = session.scalars(select(Stage.fingerprint).where(Stage.id == stage_id)).one()
    session.merge(
        Artifact(
            fingerprint=fingerprint, stage_id=stage_id, bytes=artifact.bytes, files=artifact.files,
            sha256=artifact.sha256, created_at=at, deleted_at=None,
        )
    )  # fmt: skip
    session.flush()


def _refresh(session: Session, stage_id: int, at: datetime) -> None:
    refresh_runs(session, runs_with(session, [stage_id], status.LIVE), at)


def _fail_runs(session: Session, stage_id: int, error: str, at: datetime) -> None:
    needing = session.execute(
        select(Run.id, RunStage.slot)
        .join(RunStage, RunStage.run_id == Run.id)
        .where(RunStage.stage_id == stage_id, Run.status.in_(status.LIVE))
        .order_by(Run.id)
    ).all()
    slots = {row.id: row.slot for row in needing}
    for slot in set(slots.values()):
        ids = [run_id for run_id, name in slots.items() if name == slot]
        session.execute(
            update(Run)
            .where(Run.id.in_(ids))
            .values(
                status=status.FAILED, finished_at=at, failed_stage_id=stage_id, error=f"Stage {slot} failed: {error}"
            )
        )  # fmt: skip
    release_unwanted(session, list(slots), at, f"Not needed any more: stage {stage_id} failed.")


def _let_go(session: Session, stage_id: int, token: int, after: str, cause: str, at: datetime, **values: Any) -> None:
    """End a claim without a result."""
    free = _held(stage_id, token, after).values(worker_id=None, lease_expires_at=None, started_at=None, **values)
    if not _hit(session, free):
        raise stale(stage_id, token)
    close_attempts(session, [stage_id], status.ATTEMPT_LOST, at, clean_text(cause))


def _requeue_one(session: Session, stage: Stage, at: datetime, cause: str | None) -> Requeued:
    attempt = session.get(Attempt, stage.current_attempt_id) if stage.current_attempt_id else None
    who = f"Worker {attempt.worker} (process {attempt.pid} on {attempt.host})" if attempt else "The worker"
    last = cause or f"{who} stopped answering."
    cause = cause or f"{who} stopped answering; the stage went back to the queue."
    losses = stage.losses + 1
    if losses < MAX_LOSSES:
        _let_go(session, stage.id, stage.token, status.QUEUED, cause, at, losses=losses)
        _refresh(session, stage.id, at)
    else:
        error = (
            f"Set aside, other runs go on: its process died {MAX_LOSSES} times in a row without getting further, and "
            f"nobody is known to have killed it. The last time: {last} Look at its log; where memory may be short, "
            "lower execution.tokens_per_batch or choose a smaller model; then retry, checkpoints are kept."
        )
        _let_go(
            session, stage.id, stage.token, status.FAILED, cause, at, losses=losses, error=error, finished_at=at
        )  # fmt: skip
        _fail_runs(session, stage.id, error, at)
    return Requeued(stage_id=stage.id, kind=stage.kind, cause=cause if losses < MAX_LOSSES else error)
