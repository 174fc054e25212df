"""The order of the queue, and what in it waits for a person. Session first, never commit."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, get_args

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from db import status
from db.engine import now
from db.errors import FinishedRun
from db.models import Run, Setting
from db.readiness import QUEUE_PAUSED
from db.repositories.graph import refresh_priorities, stages_of
from db.repositories.guard import lock_graph

Where = Literal["front", "up", "down"]
WHERE: tuple[Where, ...] = get_args(Where)


def pause_queue(session: Session) -> bool:
    """Start no stage from now on, running ones end; False where it was so already."""
    lock_graph(session)
    if session.get(Setting, QUEUE_PAUSED) is not None:
        return False
    session.execute(insert(Setting).values(key=QUEUE_PAUSED, value=now(session).isoformat()))
    return True


def resume_queue(session: Session) -> bool:
    """Go on; False where nothing was paused as a whole."""
    lock_graph(session)
    gone = session.execute(delete(Setting).where(Setting.key == QUEUE_PAUSED))
    return bool(gone.rowcount)  # type: ignore[attr-defined]


def pause(session: Session, run_ids: Collection[int], paused: bool = True) -> tuple[int, ...]:
    """Start no stage for these live runs, or go on with them; the ids of those that changed. A stage that another live
    run wants goes on for that one; a running stage ends as usual."""
    lock_graph(session)
    live = (Run.id.in_(run_ids), Run.status.in_(status.LIVE), Run.paused.is_(not paused))
    ids = tuple(session.scalars(select(Run.id).where(*live).order_by(Run.id)))
    session.execute(update(Run).where(Run.id.in_(ids)).values(paused=paused))
    refresh_priorities(session, stages_of(session, ids))
    return ids


def move(session: Session, run_ids: Collection[int], where: Where) -> dict[int, int]:
    """Move live runs in the queue, several as one block; the priorities that changed, as they were before."""
    lock_graph(session)
    live = select(Run.id, Run.priority).where(Run.status.in_(status.LIVE)).order_by(Run.priority.desc(), Run.id)
    before = {row.id: row.priority for row in session.execute(live)}
    gone = sorted(set(run_ids) - before.keys())
    if gone:
        raise FinishedRun(f"Run {gone[0]} is not in the queue any more: only queued and running runs have a place.")
    after = _priorities(_moved(list(before), set(run_ids), where), before)
    return set_priorities(session, {run_id: new for run_id, new in after.items() if new != before[run_id]})


def set_priorities(session: Session, priorities: Mapping[int, int]) -> dict[int, int]:
    """Give live runs these priorities; what they had before."""
    lock_graph(session)
    live = select(Run.id, Run.priority).where(Run.id.in_(priorities), Run.status.in_(status.LIVE))
    before = {row.id: row.priority for row in session.execute(live)}
    for run_id in before:
        session.execute(update(Run).where(Run.id == run_id).values(priority=priorities[run_id]))
    refresh_priorities(session, stages_of(session, before))
    return before


def _moved(order: list[int], block: set[int], where: Where) -> list[int]:
    """The new order: the block at the front, or one place further up or down than its foremost or last run was."""
    rest = [run_id for run_id in order if run_id not in block]
    mine = [run_id for run_id in order if run_id in block]
    places = [order.index(run_id) for run_id in mine]
    start = {"front": 0, "up": min(places) - 1, "down": max(places) - len(mine) + 2}[where] if mine else 0
    start = max(0, min(start, len(rest)))
    return [*rest[:start], *mine, *rest[start:]]


def _priorities(order: Sequence[int], before: Mapping[int, int]) -> dict[int, int]:
    """Priorities that give this order, of equal ones the older run first; from behind, as few higher ones as needed."""
    result: dict[int, int] = {}
    following: int | None = None
    for run_id in reversed(order):
        least = before[run_id]
        if following is not None:
            least = max(least, result[following] + (run_id > following))
        result[run_id] = least
        following = run_id
    return result
