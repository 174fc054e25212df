"""Hosts with cards, stages that want several, and their rows as they are now."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import select

from db.engine import Engines, read_scope, session_scope
from db.models import Worker
from db.records import ClaimedStage
from db.repositories import runs, stages, workers
from tests.db.make import LEASE, new_run, stages_of

GB = 10**9


def add_host(
    engines: Engines, host: str, cards: int, *, gigabytes: int | None = None, memory: int | None = None
) -> list[int]:
    """The workers of a host with so many GB of memory and that many cards, named 0, 1, …; their numbers."""
    with session_scope(engines) as session:
        return [
            workers.register(
                session, name=f"{host}-{card}", host=host, pid=1, device="gpu", card=str(card),
                card_bytes=_bytes(gigabytes), host_bytes=_bytes(memory),
            )
            for card in range(cards)
        ]  # fmt: skip


def submit_on(
    engines: Engines,
    name: str,
    cards: int,
    *,
    gigabytes: int | None = None,
    memory: int | None = None,
    priority: int = 0,
) -> int:
    """A run with one stage that wants so many cards, and GB of each and of the machine; the run's number."""
    needs = {"device": "gpu", "cards": cards, "card_bytes": _bytes(gigabytes), "host_bytes": _bytes(memory)}
    wanted = [replace(stage, **needs) for stage in stages_of("data", data=name)]
    with session_scope(engines) as session:
        return runs.create(session, new_run(priority=priority), wanted).run_id


def _bytes(gigabytes: int | None) -> int | None:
    return None if gigabytes is None else gigabytes * GB


def claim_on(engines: Engines, worker_id: int) -> ClaimedStage | None:
    """What this worker gets; one that gets nothing is idle, as its job says before it ends."""
    with session_scope(engines) as session:
        claimed = stages.claim(session, worker_id, "gpu", LEASE)
        if claimed is None:
            workers.beat(session, worker_id, state="idle")
        return claimed


def states(engines: Engines, worker_ids: Sequence[int] | None = None) -> Mapping[int, str]:
    """The state of each worker."""
    with read_scope(engines) as session:
        rows = session.execute(select(Worker.id, Worker.state).order_by(Worker.id)).all()
    return {row.id: row.state for row in rows if worker_ids is None or row.id in worker_ids}
