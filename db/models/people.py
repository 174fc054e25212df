"""The tables of who may do what, and of what was done."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class Person(Base):
    """Somebody who signs in. Whoever has the installation itself is not here: they may do everything anyway."""

    __tablename__ = "people"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    role: Mapped[str] = mapped_column(String(12))
    first_seen_at: Mapped[datetime | None]  # None: a role was given before the first sign-in
    last_seen_at: Mapped[datetime | None]
    sessions_valid_from: Mapped[datetime | None]  # sessions that began earlier are over


class AuditEvent(Base):
    """One thing that somebody did, chained to the one before. Rows are never changed: triggers refuse it."""

    __tablename__ = "audit_events"
    __table_args__ = (Index("ix_audit_events_who", "who", "number"),)

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)  # 1, 2, 3, … without a gap
    at: Mapped[datetime]
    who: Mapped[str] = mapped_column(String(200))
    source: Mapped[str] = mapped_column(String(12))
    action: Mapped[str] = mapped_column(String(80))
    what: Mapped[str] = mapped_column(Text)
    before: Mapped[str | None] = mapped_column(Text)  # canonical JSON
    after: Mapped[str | None] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String(64))  # the hash of the event before
    hash: Mapped[str] = mapped_column(String(64))


class AuditHead(Base):
    """The end of the chain, one row: who appends holds it."""

    __tablename__ = "audit_head"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
