"""Messages to webhooks: written once for each target, tried until they arrive or are a day old. Never commits."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from db.engine import now
from db.models import Notice, Setting
from db.records.keeping import DueNotice
from db.repositories.guard import clean_text, lock_graph, plain

LOOKED_AT = "notices_looked_at"  # the row of settings that says up to when somebody looked for ended runs
FORGIVEN_SECONDS = 3_600.0  # what ended while nobody looked for longer is old news
SENDING_SECONDS = 60.0  # for so long nobody else tries the same message
FIRST_WAIT, LONGEST_WAIT = 5.0, 3_600.0  # seconds before another try; twice as long after each
GIVEN_UP_AFTER = 24 * 3_600.0
FORGOTTEN_AFTER = 30 * 24 * 3_600.0


def looked_since(session: Session) -> datetime:
    """From when on ended runs are news for somebody who begins to look: where the last one stopped, or now."""
    lock_graph(session)
    at = now(session)
    row = session.get(Setting, LOOKED_AT)
    last = datetime.fromisoformat(row.value) if row is not None and row.value else at
    looked(session)
    return last if at - last < timedelta(seconds=FORGIVEN_SECONDS) else at


def looked(session: Session) -> None:
    """Say that somebody looked now."""
    at = now(session).isoformat()
    changed = session.execute(update(Setting).where(Setting.key == LOOKED_AT).values(value=at))
    if not changed.rowcount:  # type: ignore[attr-defined]
        session.execute(insert(Setting).values(key=LOOKED_AT, value=at))


def add(session: Session, bodies: Mapping[str, Mapping[str, Any]], targets: Collection[str]) -> int:
    """Write the message of each key for each target, unless it is there; how many are new."""
    lock_graph(session)
    rows = session.execute(select(Notice.key, Notice.target).where(Notice.key.in_(bodies)))
    have = {(row.key, row.target) for row in rows}
    at = now(session)
    new = [
        {"key": key, "target": target, "body": plain(body), "tries": 0, "created_at": at, "next_at": at}
        for key, body in bodies.items()
        for target in targets
        if (key, target) not in have
    ]
    if new:
        session.execute(insert(Notice), new)
    return len(new)


def is_due(session: Session, targets: Collection[str]) -> bool:
    """Whether a message for one of the targets waits; on the read engine."""
    return session.scalars(_due(session, targets).limit(1)).first() is not None


def take(session: Session, targets: Collection[str]) -> DueNotice | None:
    """The oldest message that is due; until it is said what became of it, or a minute later, nobody else has it."""
    lock_graph(session)
    notice_id = session.scalars(_due(session, targets).order_by(Notice.next_at, Notice.id).limit(1)).first()
    if notice_id is None:
        return None
    row = session.execute(select(Notice.target, Notice.body, Notice.tries).where(Notice.id == notice_id)).one()
    later = now(session) + timedelta(seconds=SENDING_SECONDS)
    _change(session, notice_id, next_at=later, tries=row.tries + 1)
    return DueNotice(id=notice_id, target=row.target, body=row.body, tries=row.tries + 1)


def sent(session: Session, notice_id: int) -> None:
    """It arrived."""
    _change(session, notice_id, sent_at=now(session), next_at=None, error=None)


def failed(session: Session, notice: DueNotice, error: str) -> None:
    """It did not arrive: it is tried again later, until it is a day old."""
    at = now(session)
    created = session.scalars(select(Notice.created_at).where(Notice.id == notice.id)).one()
    wait = timedelta(seconds=min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(notice.tries - 1, 16)))
    over = at + wait - created > timedelta(seconds=GIVEN_UP_AFTER)
    _change(session, notice.id, error=clean_text(error)[:500], next_at=None if over else at + wait)


def forget_old(session: Session) -> None:
    """Messages of a month ago go; those that ended runs of then are too old to be found again."""
    before = now(session) - timedelta(seconds=FORGOTTEN_AFTER)
    session.execute(delete(Notice).where(Notice.created_at < before))


def told(session: Session, keys: Sequence[str]) -> set[str]:
    """Those of these keys that a message was written for."""
    return set(session.scalars(select(Notice.key).where(Notice.key.in_(keys)).distinct()))


def _due(session: Session, targets: Collection[str]) -> Any:
    return select(Notice.id).where(Notice.next_at <= now(session), Notice.target.in_(targets))


def _change(session: Session, notice_id: int, **values: object) -> None:
    session.execute(update(Notice).where(Notice.id == notice_id).values(**values))
