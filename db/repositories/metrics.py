"""Curves and log lines of a running attempt."""

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from db.engine import now
from db.models import Attempt, LogLine, Metric
from db.records import PACE, PACE_PARTS, ClaimedStage, Pace
from db.repositories.graph import remove_curves
from db.repositories.guard import bulk_insert, check_token, clean_text, finite

# A longer line is a dump; the whole text is in the worker's own log.
LINE_CHARACTERS = 4_000
_OF_STEPS = Metric.name != PACE  # of a training; the steps of the pace are thousandths of the work


def add(session: Session, claim: ClaimedStage, points: Iterable[tuple[int, str, float]]) -> None:
    """Write points (step, name, value) of the claim's attempt; a point written twice keeps the later value."""
    latest = {(step, name): finite(value) for step, name, value in points}
    rows = [
        {"attempt_id": claim.attempt_id, "step": step, "name": name, "value": value}
        for (step, name), value in latest.items()
    ]
    check_token(session, claim.stage_id, claim.token)
    for name in {name for _, name in latest}:
        steps = [step for step, other in latest if other == name]
        session.execute(
            delete(Metric).where(
                Metric.attempt_id == claim.attempt_id, Metric.name == name, Metric.step.between(min(steps), max(steps)),
                Metric.step.in_(steps),
            )
        )  # fmt: skip
    bulk_insert(session, claim, Metric, rows)


def add_pace(session: Session, claim: ClaimedStage, pace: Pace) -> None:
    """Write which share of the work was done after how many seconds."""
    add(session, claim, [(round(PACE_PARTS * share), PACE, seconds) for share, seconds in pace])


def add_log(session: Session, claim: ClaimedStage, lines: Sequence[str]) -> None:
    """Append log lines of the claim's attempt, stamped with the database's time."""
    at = now(session)
    rows = [{"attempt_id": claim.attempt_id, "at": at, "text": clean_text(line)[:LINE_CHARACTERS]} for line in lines]
    bulk_insert(session, claim, LogLine, rows)


def carry_over(session: Session, stage_id: int, attempt_id: int, step: int) -> None:
    """Move points up to `step` from the stage's latest attempt that has any; delete every other point of the stage.

    How fast an attempt goes belongs to it alone."""
    session.execute(delete(Metric).where(Metric.attempt_id == attempt_id, Metric.step > step, _OF_STEPS))
    earlier = (
        select(func.max(Metric.attempt_id))
        .join(Attempt, Attempt.id == Metric.attempt_id)
        .where(Attempt.stage_id == stage_id, Attempt.id < attempt_id, _OF_STEPS)
    )
    source = session.scalars(earlier).one()
    has_own = session.execute(select(Metric.step).where(Metric.attempt_id == attempt_id, _OF_STEPS).limit(1)).first()
    if source is not None and has_own is None:
        session.execute(
            update(Metric)
            .where(Metric.attempt_id == source, Metric.step <= step, _OF_STEPS)
            .values(attempt_id=attempt_id)
        )
    remove_curves(session, stage_id, but=attempt_id)
