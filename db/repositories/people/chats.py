"""Chats: opened and asked by pages, taken and answered by one process each. Session first, never commit."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from db.engine import now
from db.errors import ChatEnded, UnknownRun
from db.models import Chat, ChatAnswer, ChatTurn, Run
from db.records.chats import (
    ANSWERED,
    ANSWERING,
    ENDED,
    FAILED,
    GONE_SECONDS,
    LIVE_CHAT,
    LIVE_TURN,
    LOADING,
    OPEN,
    SILENT_SECONDS,
    STOPPED,
    WAITING,
    TurnRow,
)
from db.repositories.guard import clean_text, lock_graph


def create(session: Session, run_id: int, models: Sequence[str], wish: str) -> int:
    """A chat that waits for a process; the run's own one where it has one that lives."""
    lock_graph(session)
    if session.get(Run, run_id) is None:
        raise UnknownRun(f"There is no run {run_id}: it was deleted, or the number is wrong; see the Runs page.")
    at = now(session)
    bury(session)
    living = session.scalars(select(Chat.id).where(Chat.run_id == run_id, Chat.state.in_(LIVE_CHAT))).first()
    if living is not None:
        return int(living)
    chat = Chat(
        run_id=run_id, models=",".join(models), state=WAITING, wish=wish, template=False, said="", created_at=at,
        heartbeat_at=at, seen_at=at, asked_at=at,
    )  # fmt: skip
    session.add(chat)
    session.flush()
    return chat.id


def claim(session: Session, chat_id: int, *, host: str, pid: int, device: str) -> bool:
    """A process takes a chat that waits; False where another one was first, or it is over."""
    taken = update(Chat).where(Chat.id == chat_id, Chat.state == WAITING)
    return _changed(session, taken, state=LOADING, host=host, pid=pid, device=device, heartbeat_at=now(session))


def waiting(session: Session) -> list[int]:
    """Chats that nobody has taken, oldest first."""
    return list(session.scalars(select(Chat.id).where(Chat.state == WAITING).order_by(Chat.id).limit(20)))


def are_silent(session: Session) -> bool:
    """Whether there may be something to bury."""
    at = now(session) - timedelta(seconds=SILENT_SECONDS)
    found = select(Chat.id).where(Chat.state.in_(LIVE_CHAT), Chat.heartbeat_at < at)
    return session.scalars(found.limit(1)).first() is not None


def beat(session: Session, chat_id: int, said: str | None = None) -> None:
    """Its process lives; and how far it is."""
    values: dict[str, Any] = {"heartbeat_at": now(session)} | ({} if said is None else {"said": clean_text(said)})
    session.execute(update(Chat).where(Chat.id == chat_id, Chat.state.in_(LIVE_CHAT)).values(**values))


def opened(session: Session, chat_id: int, *, template: bool) -> None:
    """Its models are loaded."""
    at = now(session)
    values = {"state": OPEN, "template": template, "said": "", "heartbeat_at": at, "asked_at": at}
    session.execute(update(Chat).where(Chat.id == chat_id, Chat.state == LOADING).values(**values))


def end(session: Session, chat_id: int, said: str) -> bool:
    """It is over, and what was not answered will not be; False where it was over before."""
    ended = _changed(session, update(Chat).where(Chat.id == chat_id, Chat.state.in_(LIVE_CHAT)), state=ENDED,
                     said=clean_text(said))  # fmt: skip
    if ended:
        open_turns = update(ChatTurn).where(ChatTurn.chat_id == chat_id, ChatTurn.state.in_(LIVE_TURN))
        session.execute(open_turns.values(state=STOPPED))
    return ended


def lost(session: Session, chat_id: int, pid: int, said: str) -> bool:
    """The process of this number has ended: so has the chat, if it had taken it and did not say goodbye."""
    held = session.scalar(select(Chat.id).where(Chat.id == chat_id, Chat.pid == pid))
    return held is not None and end(session, chat_id, said)


def bury(session: Session) -> int:
    """End chats whose process is silent, and those that nobody took while no page looks any more; how many."""
    at = now(session)
    silent = select(Chat.id).where(
        Chat.state.in_((LOADING, OPEN)), Chat.heartbeat_at < at - timedelta(seconds=SILENT_SECONDS)
    )
    lonely = select(Chat.id).where(Chat.state == WAITING, Chat.seen_at < at - timedelta(seconds=GONE_SECONDS))
    ended = sum(end(session, one, "Its process is gone: the machine or its workers were stopped.")
                for one in session.scalars(silent).all())  # fmt: skip
    return ended + sum(end(session, one, "No worker took it while the page was open.")
                       for one in session.scalars(lonely).all())  # fmt: skip


def look(session: Session, chat_id: int) -> None:
    """A page is looking."""
    session.execute(update(Chat).where(Chat.id == chat_id).values(seen_at=now(session)))


def ask(
    session: Session, chat_id: int, prompt: str, *, temperature: float, max_new_tokens: int, seed: int, plain: bool
) -> int:
    """One more turn; its number. ChatEnded where nobody will answer, or somebody is answering still."""
    state = session.scalar(select(Chat.state).where(Chat.id == chat_id).with_for_update())
    if state not in LIVE_CHAT:
        raise ChatEnded("This chat has ended: start a new one, its turns are kept here.")
    last = session.execute(
        select(func.max(ChatTurn.number), func.count().filter(ChatTurn.state.in_(LIVE_TURN))).where(
            ChatTurn.chat_id == chat_id
        )
    ).one()
    if last[1]:
        raise ChatEnded("The models are answering still: wait for them, or stop them.")
    at = now(session)
    number = (last[0] or 0) + 1
    session.add(
        ChatTurn(
            chat_id=chat_id, number=number, prompt=clean_text(prompt), temperature=temperature,
            max_new_tokens=max_new_tokens, seed=seed, plain=plain, state=WAITING, stop_asked=False, said="",
            created_at=at,
        )
    )  # fmt: skip
    session.execute(update(Chat).where(Chat.id == chat_id).values(asked_at=at, seen_at=at))
    session.flush()
    return number


def stop(session: Session, chat_id: int) -> None:
    """Stop the answers of the turn that is being answered."""
    turns = update(ChatTurn).where(ChatTurn.chat_id == chat_id, ChatTurn.state.in_(LIVE_TURN))
    session.execute(turns.values(stop_asked=True))


def take(session: Session, turn_id: int) -> None:
    """Its process answers this turn now."""
    session.execute(update(ChatTurn).where(ChatTurn.id == turn_id).values(state=ANSWERING))


def write(session: Session, chat_id: int, turn: TurnRow, texts: Mapping[str, str]) -> bool:
    """All answers so far, and a sign of life; whether somebody asks to stop, or the chat is over."""
    session.execute(delete(ChatAnswer).where(ChatAnswer.turn_id == turn.id))
    found = session.execute(
        select(ChatTurn.stop_asked, Chat.state).join(Chat).where(ChatTurn.id == turn.id)
    ).one_or_none()
    if found is None:
        return True
    rows = [{"turn_id": turn.id, "model": name, "text": clean_text(text)} for name, text in texts.items()]
    session.execute(insert(ChatAnswer), rows)
    session.execute(update(Chat).where(Chat.id == chat_id).values(heartbeat_at=now(session)))
    return bool(found.stop_asked) or found.state not in LIVE_CHAT


def finish(session: Session, chat_id: int, turn_id: int, *, stopped: bool = False, failed: str = "") -> None:
    """The turn is answered to its end, was stopped, or cannot be answered."""
    state = FAILED if failed else STOPPED if stopped else ANSWERED
    turn = update(ChatTurn).where(ChatTurn.id == turn_id, ChatTurn.state.in_(LIVE_TURN))
    session.execute(turn.values(state=state, said=clean_text(failed)))
    session.execute(update(Chat).where(Chat.id == chat_id).values(asked_at=now(session)))


def _changed(session: Session, statement: Any, **values: Any) -> bool:
    return bool(session.execute(statement.values(**values)).rowcount == 1)  # type: ignore[attr-defined]
