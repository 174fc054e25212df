"""The log of what was done: read newest first, in order for a file, and as a whole to see whether its chain holds."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from db.models import AuditEvent as Row
from db.models import AuditHead
from db.records import AuditCheck, AuditEvent, AuditPage

_COLUMNS = tuple(getattr(Row, name) for name in AuditEvent.__dataclass_fields__)
_AT_ONCE = 2_000
MOST_NAMED = 10  # events that do not fit, in a sentence


def audit_page(session: Session, *, who: str = "", before: int | None = None, limit: int = 25) -> AuditPage:
    """Events of everybody or of one person, the newest first, and who there is to choose from."""
    chosen = _of(who).order_by(Row.number.desc()).limit(limit + 1)
    if before is not None:
        chosen = chosen.where(Row.number < before)
    found = [_event(row) for row in session.execute(chosen)]
    people = session.scalars(select(Row.who).distinct().order_by(Row.who)).all()
    following = found[limit - 1].number if len(found) > limit else None
    newest = session.scalar(select(AuditHead.number)) or 0
    return AuditPage(events=tuple(found[:limit]), next=following, people=tuple(people), newest=newest)


def audit_events(session: Session, *, who: str = "") -> Iterator[AuditEvent]:
    """All of them, the oldest first."""
    rows = session.execute(_of(who).order_by(Row.number), execution_options={"yield_per": _AT_ONCE})
    return (_event(row) for row in rows)


def check_audit(session: Session) -> AuditCheck:
    """Read the whole chain; events that were changed, removed or put in are named."""
    problems: list[str] = []
    head = session.execute(select(AuditHead.number, AuditHead.hash)).one()
    expected, count, last = 1, 0, ""
    for event in audit_events(session):
        count += 1
        if event.number > head.number:
            problems.append(f"Event {event.number} was put in from outside.")
            continue
        problems += _missing(expected, event.number - 1)
        if event.seal != event.hash:
            problems.append(f"Event {event.number} was changed.")
        elif event.number == expected and event.previous != last:
            problems.append(f"Event {max(1, expected - 1)} was changed: the next one follows another.")
        expected, last = event.number + 1, event.hash
    problems += _missing(expected, head.number)
    if head.number == expected - 1 and head.hash != last:
        problems.append(f"Event {head.number} is not the one that was written last.")
    return AuditCheck(events=count, problems=tuple(dict.fromkeys(problems))[:MOST_NAMED])


def _of(who: str) -> Select[Any]:
    chosen = select(*_COLUMNS)
    return chosen.where(Row.who == who) if who else chosen


def _event(row: Any) -> AuditEvent:
    return AuditEvent(**row._mapping)


def _missing(first: int, last: int) -> list[str]:
    if first > last:
        return []
    return [f"Event {first} is missing." if first == last else f"Events {first} to {last} are missing."]
