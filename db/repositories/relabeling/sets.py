"""Sets of labels: a name, versioned, for rows that never change; and which runs use them."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.engine import now
from db.errors import UnfitVote
from db.models import RelabelSet, RelabelUse
from db.repositories.guard import clean_text, lock_graph
from db.repositories.named_annotators import MOST_NOTE, NAME


@dataclass(frozen=True, kw_only=True)
class NewSet:
    """What a set is made of: its content's hash, and how many pairs, votes and people."""

    fingerprint: str
    labels: int
    dropped: int
    undecided: int
    votes: int
    people: int


def check_name(name: str) -> None:
    """Refuse what cannot be written as NAME@VERSION."""
    if not NAME.fullmatch(name):
        raise UnfitVote(
            f"{name[:80]!r} cannot be a name: use letters, digits, dots, dashes and underscores, at most 63."
        )


def create(session: Session, name: str, new: NewSet, note: str = "") -> int:
    """Give these labels a name; the version, which is the next of that name, or the one that has the same labels."""
    check_name(name)
    lock_graph(session)
    same = select(RelabelSet.version).where(RelabelSet.name == name, RelabelSet.fingerprint == new.fingerprint)
    given = session.scalar(same)
    if given is not None:
        return given
    newest = session.scalar(select(func.max(RelabelSet.version)).where(RelabelSet.name == name)) or 0
    session.add(
        RelabelSet(
            name=name, version=newest + 1, fingerprint=new.fingerprint, labels=new.labels, dropped=new.dropped,
            undecided=new.undecided, votes=new.votes, people=new.people, note=clean_text(note)[:MOST_NOTE],
            created_at=now(session),
        )
    )  # fmt: skip
    session.flush()
    return newest + 1


def used(session: Session, run_id: int, fingerprint: str) -> None:
    """This run uses that set."""
    session.add(RelabelUse(run_id=run_id, fingerprint=fingerprint))
