"""The log of what was done grows: each event is chained to the one before. Functions never commit."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from db.engine import now
from db.models import AuditEvent, AuditHead
from db.records.system import seal_of
from db.repositories.guard import clean_text, plain

CHAIN = "audit"  # the one row of the head
LONGEST_WHAT = 2_000


def append(
    session: Session,
    *,
    who: str,
    source: str,
    action: str,
    what: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> int:
    """Write what somebody did, in the transaction that does it; the event's number.

    Called last: whoever appends holds the end of the chain until the transaction ends, so that no two events follow
    the same one.
    """
    head = session.execute(
        select(AuditHead.number, AuditHead.hash).where(AuditHead.name == CHAIN).with_for_update()
    ).one()
    number, at = head.number + 1, now(session)
    said = (clean_text(who), source, action, clean_text(what)[:LONGEST_WHAT], _canonical(before), _canonical(after))
    seal = seal_of(head.hash, number, at, *said)
    names = ("who", "source", "action", "what", "before", "after")
    session.execute(
        insert(AuditEvent).values(
            number=number, at=at, previous=head.hash, hash=seal, **dict(zip(names, said, strict=True))
        )
    )
    session.execute(update(AuditHead).where(AuditHead.name == CHAIN).values(number=number, hash=seal))
    return number


def _canonical(values: Mapping[str, Any] | None) -> str | None:
    if not values:
        return None
    return json.dumps(plain(values), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
