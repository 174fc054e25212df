"""What of the artifact store a row of the database still needs. Never commits."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import status
from db.models import Artifact, RelabelSet, Stage
from db.repositories.guard import lock_graph


@dataclass(frozen=True, kw_only=True)
class Needed:
    """Fingerprints. `live`: of stages that wait or are computed, by any machine; `named`: that a stage or a set of
    labels has; `deleted`: of artifacts whose runs were deleted, and that nothing names any more."""

    live: frozenset[str]
    named: frozenset[str]
    deleted: frozenset[str]


def needed(session: Session, *, hold: bool = False) -> Needed:
    """As it is now; `hold`: and stays until the transaction ends, because nobody else changes stages till then."""
    if hold:
        lock_graph(session)
    stages = session.execute(select(Stage.fingerprint, Stage.status)).all()
    named = {row.fingerprint for row in stages} | set(session.scalars(select(RelabelSet.fingerprint)))
    deleted = session.scalars(select(Artifact.fingerprint).where(Artifact.deleted_at.is_not(None)))
    kept = session.scalars(select(Artifact.fingerprint).where(Artifact.deleted_at.is_(None)))
    named |= set(kept)
    return Needed(
        live=frozenset(row.fingerprint for row in stages if row.status in status.LIVE),
        named=frozenset(named),
        deleted=frozenset(deleted) - named,
    )
