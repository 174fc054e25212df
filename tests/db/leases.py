"""Leases that have run out."""

from datetime import timedelta

from sqlalchemy import update

from db import status
from db.engine import Engines, now, session_scope
from db.models import Stage


def expire(engines: Engines) -> None:
    """Let every lease run out a second ago."""
    with session_scope(engines) as session:
        past = now(session) - timedelta(seconds=1)
        session.execute(update(Stage).where(Stage.status == status.RUNNING).values(lease_expires_at=past))
