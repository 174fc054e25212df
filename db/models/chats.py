"""The tables of chats: a mailbox between pages, which ask, and a process beside the workers, which answers."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.base import NEVER_REUSE_IDS, Base


class Chat(Base):
    """One session with the models of a run; alive while its heartbeat is fresh."""

    __tablename__ = "chats"
    __table_args__ = (Index("ix_chats_run_id", "run_id", "id"), Index("ix_chats_state", "state"), NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    models: Mapped[str] = mapped_column(String(80))  # their names, separated by commas, in the order of the columns
    state: Mapped[str] = mapped_column(String(12))  # waiting | loading | open | ended
    wish: Mapped[str] = mapped_column(String(8))  # auto | cpu
    device: Mapped[str | None] = mapped_column(String(40))
    host: Mapped[str | None] = mapped_column(String(200))
    pid: Mapped[int | None]
    template: Mapped[bool] = mapped_column(default=False)  # its models have a chat template: turns make a conversation
    said: Mapped[str] = mapped_column(Text, default="")  # why it ended, or how far it is
    created_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]  # of its process
    seen_at: Mapped[datetime]  # when a page last looked
    asked_at: Mapped[datetime]  # when somebody last asked or was answered


class ChatTurn(Base):
    """One prompt with how it is answered."""

    __tablename__ = "chat_turns"
    __table_args__ = (UniqueConstraint("chat_id", "number"), NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(primary_key=True)
    chat_id: Mapped[int] = mapped_column(ForeignKey("chats.id", ondelete="CASCADE"))
    number: Mapped[int]
    prompt: Mapped[str] = mapped_column(Text)
    temperature: Mapped[float]
    max_new_tokens: Mapped[int]
    seed: Mapped[int]
    plain: Mapped[bool] = mapped_column(default=False)  # without the chat template
    state: Mapped[str] = mapped_column(String(12))  # waiting | answering | done | stopped | failed
    stop_asked: Mapped[bool] = mapped_column(default=False)
    said: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime]


class ChatAnswer(Base):
    """One model's answer so far."""

    __tablename__ = "chat_answers"

    turn_id: Mapped[int] = mapped_column(ForeignKey("chat_turns.id", ondelete="CASCADE"), primary_key=True)
    model: Mapped[str] = mapped_column(String(20), primary_key=True)
    text: Mapped[str] = mapped_column(Text)
