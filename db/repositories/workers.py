"""Worker processes: registered at start, alive while their heartbeat is fresh."""

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from db import status
from db.engine import now
from db.errors import UnknownWorker
from db.models import Worker
from db.status import SILENT_SECONDS


def register(session: Session, *, name: str, host: str, pid: int, device: str) -> int:
    """Write a worker that starts, or starts again under its name; its number."""
    at = now(session)
    worker = session.scalars(select(Worker).where(Worker.name == name)).first()
    if worker is None:
        worker = Worker(name=name)
        session.add(worker)
    worker.host, worker.pid, worker.device = host, pid, device
    worker.state, worker.stage_id, worker.rss_mb = status.WORKER_IDLE, None, None
    worker.heartbeat_at = worker.started_at = at
    session.flush()
    return worker.id


def beat(
    session: Session, worker_id: int, *, state: str, stage_id: int | None = None, rss_mb: float | None = None
) -> None:
    """Say that a worker lives, what it does and how much memory it holds."""
    if state not in (status.WORKER_IDLE, status.WORKER_BUSY, status.WORKER_STOPPED):
        raise ValueError(f"A worker is idle, busy or stopped, not {state!r}.")
    values = {"state": state, "stage_id": stage_id, "rss_mb": rss_mb, "heartbeat_at": now(session)}
    _change(session, worker_id, values)


def stop(session: Session, worker_id: int) -> None:
    """Say that a worker ended."""
    _change(session, worker_id, {"state": status.WORKER_STOPPED, "stage_id": None, "heartbeat_at": now(session)})


def stop_silent(session: Session, seconds: float = SILENT_SECONDS) -> int:
    """Mark workers stopped whose heartbeat is older than `seconds`; how many."""
    oldest = now(session) - timedelta(seconds=seconds)
    silent = update(Worker).where(Worker.state != status.WORKER_STOPPED, Worker.heartbeat_at < oldest)
    result = session.execute(silent.values(state=status.WORKER_STOPPED, stage_id=None))
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
