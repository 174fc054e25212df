"""Chats with the models of a run, for the page, for who answers, and as a file."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.engine import clock, now
from db.models import Chat, ChatAnswer, ChatTurn, Worker
from db.records.chats import LOADING, OPEN, SILENT_SECONDS, WAITING, ChatRow, LifeSign, TurnRow
from db.status import SILENT_SECONDS as WORKER_SILENT_SECONDS
from db.status import WORKER_STOPPED

SHOWN = 20  # newest turns of a page
UNCLAIMED_SECONDS = 8.0  # a supervisor looks every second


def newest(session: Session, run_id: int) -> tuple[int | None, bool]:
    """The number of the run's newest chat, and whether a worker is alive, beside which chats run."""
    chat = select(Chat.id).where(Chat.run_id == run_id).order_by(Chat.id.desc()).limit(1).scalar_subquery()
    heard = select(func.max(Worker.heartbeat_at)).where(Worker.state != WORKER_STOPPED).scalar_subquery()
    row = session.execute(select(chat.label("chat"), heard.label("heard"), clock(session).label("now"))).one()
    return row.chat, row.heard is not None and row.heard >= row.now - timedelta(seconds=WORKER_SILENT_SECONDS)


def get(session: Session, chat_id: int, *, run_id: int | None = None, turns: int = SHOWN) -> ChatRow | None:
    """A chat with its newest turns; None where there is none, or it is another run's."""
    chat = session.get(Chat, chat_id)
    if chat is None or (run_id is not None and chat.run_id != run_id):
        return None
    at = now(session)
    fresh = at - timedelta(seconds=SILENT_SECONDS)
    return ChatRow(
        id=chat.id, run_id=chat.run_id, models=tuple(chat.models.split(",")), state=chat.state, wish=chat.wish,
        device=chat.device, host=chat.host, pid=chat.pid, template=chat.template, said=chat.said,
        created_at=chat.created_at, silent=chat.state in (LOADING, OPEN) and chat.heartbeat_at < fresh,
        unclaimed=chat.state == WAITING and chat.created_at < at - timedelta(seconds=UNCLAIMED_SECONDS),
        turns=tuple(_turns(session, chat_id, turns)),
    )  # fmt: skip


def waiting_turn(session: Session, chat_id: int) -> TurnRow | None:
    """The turn that is to be answered next."""
    rows = _turns(session, chat_id, 1)
    return rows[-1] if rows and rows[-1].state == WAITING else None


def history(session: Session, chat_id: int) -> Sequence[TurnRow]:
    """All turns, oldest first."""
    return _turns(session, chat_id, None)


def life_sign(session: Session, chat_id: int) -> LifeSign | None:
    """What its process has to know; None where the chat went with its run."""
    row = session.execute(select(Chat.state, Chat.seen_at, Chat.asked_at).where(Chat.id == chat_id)).one_or_none()
    if row is None:
        return None
    at = now(session)
    return LifeSign(
        state=row.state,
        unseen=(at - row.seen_at).total_seconds(),
        unasked=(at - row.asked_at).total_seconds(),
    )


def _turns(session: Session, chat_id: int, newest_turns: int | None) -> list[TurnRow]:
    wanted = select(ChatTurn).where(ChatTurn.chat_id == chat_id).order_by(ChatTurn.number.desc()).limit(newest_turns)
    turns = list(session.scalars(wanted))[::-1]
    texts: dict[int, dict[str, str]] = {turn.id: {} for turn in turns}
    for row in session.execute(select(ChatAnswer.turn_id, ChatAnswer.model, ChatAnswer.text).where(
            ChatAnswer.turn_id.in_(texts))):  # fmt: skip
        texts[row.turn_id][row.model] = row.text
    return [
        TurnRow(
            id=turn.id, number=turn.number, prompt=turn.prompt, temperature=turn.temperature,
            max_new_tokens=turn.max_new_tokens, seed=turn.seed, plain=turn.plain, state=turn.state, said=turn.said,
            answers=texts[turn.id],
        )
        for turn in turns
    ]  # fmt: skip
