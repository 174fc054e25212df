"""Copies of runs elsewhere: whose turn it is to send, and since when runs that end belong there. Never commits."""

import json
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from db.engine import now
from db.models import Setting
from db.records.keeping import MirrorTurn
from db.repositories.guard import lock_graph

TURN_SECONDS = 120.0  # for so long nobody else sends to the same place, unless the turn is given back


def take_turn(session: Session, target: str, owner: str) -> MirrorTurn | None:
    """Take the turn, or keep it for longer; None while another has it. Two who send at once could begin a run twice."""
    lock_graph(session)
    at, said = now(session), _said(session, target)
    last = said.get("owner")
    if last not in (None, owner) and datetime.fromisoformat(said["until"]) > at:
        return None
    _say(session, target, {**said, "owner": owner, "until": (at + timedelta(seconds=TURN_SECONDS)).isoformat()})
    since = said.get("since")
    return MirrorTurn(again=last == owner, at=at, since=datetime.fromisoformat(since) if since else None)


def give_turn_back(session: Session, target: str, owner: str, *, since: datetime | None = None) -> None:
    """Let others have the turn. `since`: every run that ended before is there."""
    lock_graph(session)
    said = _said(session, target)
    if said.get("owner") == owner:
        changed = {"until": now(session).isoformat()} | ({"since": since.isoformat()} if since else {})
        _say(session, target, {**said, **changed})


def _said(session: Session, target: str) -> dict[str, Any]:
    row = session.get(Setting, _key(target), populate_existing=True)
    found: dict[str, Any] = json.loads(row.value) if row is not None and row.value else {}
    return found


def _say(session: Session, target: str, said: dict[str, Any]) -> None:
    value = json.dumps(said, sort_keys=True)
    changed = session.execute(update(Setting).where(Setting.key == _key(target)).values(value=value))
    if not changed.rowcount:  # type: ignore[attr-defined]
        session.execute(insert(Setting).values(key=_key(target), value=value))


def _key(target: str) -> str:
    return f"mirror:{target}"[:80]
