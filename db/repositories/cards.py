"""Cards of idle workers that are lent to the stage of another one. Session first, never commit."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, case, exists, select, update
from sqlalchemy.orm import Session

from db import status
from db.errors import UnknownWorker
from db.models import Stage, Worker
from db.placement import Start, choose, startable
from db.readiness import living_cards, stages_to_place

MOST_RINGS_FOR = 500  # ready stages that are looked at to see whom to ring; the next look sees the rest


def start_for(session: Session, worker_id: int, device: str) -> Start | None:
    """What this worker, which computes nothing, would start now; None also while its card is lent."""
    worker = session.execute(select(Worker.lent_to).where(Worker.id == worker_id)).one_or_none()
    if worker is None:
        raise UnknownWorker(f"No worker has number {worker_id}: register it before it claims.")
    if worker.lent_to is not None:
        return None
    ready = stages_to_place(session, status.stages_for(device))
    return choose(ready, living_cards(session, own=(worker_id, device)), worker_id)


def startable_by_device(session: Session) -> dict[str, int]:
    """How many of the idle workers of each kind of device could start a stage now, all together."""
    cards = living_cards(session)
    if not any(card.free for card in cards):
        return {}
    ready = [stage for stage, _ in zip(stages_to_place(session), range(MOST_RINGS_FOR), strict=False)]
    found: dict[str, int] = {}
    for start in startable(ready, cards):
        device = status.device_kind(start.cards[0].device)
        found[device] = found.get(device, 0) + 1
    return found


def lend(session: Session, borrower_id: int, stage_id: int, lenders: Collection[int]) -> bool:
    """Give the cards of these idle workers to a stage of another one; False, and nothing is lent, where one of them is
    not idle any more."""
    idle = select(Worker.id).where(Worker.id.in_(lenders), Worker.state == status.WORKER_IDLE)
    if len(session.scalars(idle.order_by(Worker.id).with_for_update()).all()) != len(lenders):
        return False
    lending = update(Worker).where(Worker.id.in_(lenders))
    session.execute(lending.values(state=status.WORKER_LENT, stage_id=stage_id, lent_to=borrower_id))
    return True


def give_back(session: Session, borrower_id: int) -> None:
    """The cards that were lent to this worker are free again, unless it holds a stage."""
    holds = exists(select(1).where(Stage.worker_id == borrower_id, Stage.status == status.RUNNING))
    _free(session, (Worker.lent_to == borrower_id) & ~holds)


def give_back_of_the_gone(session: Session) -> None:
    """The cards that were lent to workers which stopped, or are forgotten, are free again."""
    living = select(Worker.id).where(Worker.state != status.WORKER_STOPPED)
    _free(session, Worker.lent_to.is_not(None) & Worker.lent_to.not_in(living))


def borrower_of(session: Session, host: str, card: str | None) -> tuple[int, int | None] | None:
    """The worker to which a card of a host is lent, with its stage: it stays lent when a process for it starts anew."""
    if card is None:
        return None
    lent = (
        select(Worker.lent_to, Worker.stage_id)
        .where(Worker.host == host, Worker.card == card, Worker.lent_to.is_not(None))
        .order_by(Worker.id.desc())
    )
    found = session.execute(lent.limit(1)).first()
    return None if found is None else (found.lent_to, found.stage_id)


def _free(session: Session, which: ColumnElement[bool]) -> None:
    """A lent card becomes idle; the row of a worker that stopped meanwhile stays stopped."""
    state = case((Worker.state == status.WORKER_LENT, status.WORKER_IDLE), else_=Worker.state)
    freeing = update(Worker).where(which).execution_options(synchronize_session=False)
    session.execute(freeing.values(state=state, stage_id=None, lent_to=None))
