"""Worker processes: registered at start, alive while their heartbeat is fresh."""

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import case, delete, select, update
from sqlalchemy.orm import Session

from db import status
from db.engine import now
from db.errors import UnknownWorker
from db.models import Worker
from db.repositories import cards
from db.status import SILENT_SECONDS

_LENT = Worker.lent_to.is_not(None)


def register(
    session: Session,
    *,
    name: str,
    host: str,
    pid: int,
    device: str,
    card: str | None = None,
    card_bytes: int | None = None,
    card_free_bytes: int | None = None,
    host_bytes: int | None = None,
) -> int:
    """Write a worker that starts, or starts again under its name; its number. A card that is lent stays lent."""
    at = now(session)
    lent = cards.borrower_of(session, host, card)
    worker = session.scalars(select(Worker).where(Worker.name == name)).first()
    if worker is None:
        worker = Worker(name=name)
        session.add(worker)
    worker.host, worker.pid, worker.device = host, pid, device
    worker.card, worker.card_bytes, worker.card_free_bytes, worker.host_bytes = (
        card, card_bytes, card_free_bytes, host_bytes,
    )  # fmt: skip
    worker.state = status.WORKER_IDLE if lent is None else status.WORKER_LENT
    worker.lent_to, worker.stage_id = lent or (None, None)
    worker.rss_mb = None
    worker.heartbeat_at = worker.started_at = at
    session.flush()
    return worker.id


def device_of(session: Session, worker_id: int) -> str | None:
    """ "cpu" or "gpu"; None for a worker whose row is gone."""
    return session.scalars(select(Worker.device).where(Worker.id == worker_id)).first()


def name_process(session: Session, worker_id: int, pid: int) -> None:
    """Put the pid of its process into a worker's row, once there is one."""
    _change(session, worker_id, {"pid": pid})


def beat(
    session: Session, worker_id: int, *, state: str, stage_id: int | None = None, rss_mb: float | None = None
) -> None:
    """Say that a worker lives, what it does and how much memory it holds. Its card stays lent; an idle worker gives
    back what was lent to it."""
    if state not in (status.WORKER_IDLE, status.WORKER_BUSY, status.WORKER_STOPPED):
        raise ValueError(f"A worker is idle, busy or stopped, not {state!r}.")
    values = {
        "state": case((_LENT, status.WORKER_LENT), else_=state),
        "stage_id": case((_LENT, Worker.stage_id), else_=stage_id),
        "rss_mb": rss_mb,
        "heartbeat_at": now(session),
    }
    _change(session, worker_id, values)
    if state != status.WORKER_BUSY:
        cards.give_back(session, worker_id)


def free_bytes(session: Session, worker_id: int, number: int) -> None:
    """How much of a worker's card is free while it computes nothing."""
    _change(session, worker_id, {"card_free_bytes": number})


def stop(session: Session, worker_id: int) -> None:
    """Say that a worker ended. Its card stays lent, for the process that takes its place; what it borrowed is free."""
    values = {
        "state": status.WORKER_STOPPED,
        "stage_id": case((_LENT, Worker.stage_id), else_=None),
        "heartbeat_at": now(session),
    }
    _change(session, worker_id, values)
    cards.give_back_of_the_gone(session)


def stop_silent(session: Session, seconds: float = SILENT_SECONDS) -> int:
    """Mark workers stopped whose heartbeat is older than `seconds`; how many."""
    oldest = now(session) - timedelta(seconds=seconds)
    silent = update(Worker).where(Worker.state != status.WORKER_STOPPED, Worker.heartbeat_at < oldest)
    result = session.execute(silent.values(state=status.WORKER_STOPPED, stage_id=None))
    cards.give_back_of_the_gone(session)
    return int(result.rowcount)  # type: ignore[attr-defined]


def forget_stopped(session: Session, seconds: float = 86_400.0) -> int:
    """Remove workers stopped for longer than `seconds`; their names stay on their attempts. How many."""
    oldest = now(session) - timedelta(seconds=seconds)
    gone = delete(Worker).where(Worker.state == status.WORKER_STOPPED, Worker.heartbeat_at < oldest)
    return int(session.execute(gone).rowcount)  # type: ignore[attr-defined]


def _change(session: Session, worker_id: int, values: Mapping[str, object]) -> None:
    result = session.execute(update(Worker).where(Worker.id == worker_id).values(values))
    if result.rowcount != 1:  # type: ignore[attr-defined]
        raise UnknownWorker(f"No worker has number {worker_id}: register it again.")
