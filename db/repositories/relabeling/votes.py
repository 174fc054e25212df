"""Pairs are shown to people, and their votes are written: events that never change, one for each card that was shown.

Who shows or votes holds the graph's mutex, so that two people never get the same pair.
"""

import hashlib
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, aliased

from db.engine import batches, now
from db.errors import UnfitVote
from db.models import Annotation, Pair, Prompt, Stage, Vote, VotedPair, VoteLease
from db.records import Shown
from db.repositories.guard import clean_text, finite, lock_graph
from db.vote_queues import Published, candidates, published_labels

CHOICES = ("a", "b", "tie", "unsure", "drop")
UNDO = "undo"
LEASE = timedelta(minutes=10)
LONGEST_NAME = 40
LONGEST_VOTE = 3_600.0  # seconds; who took longer was away
MOST_OVERLAP = 5


@dataclass(frozen=True, kw_only=True)
class NewVote:
    """A vote from elsewhere, on a pair of a run; `chosen`: the text that was chosen, where a side was."""

    pair_id: str
    choice: str = ""
    chosen: str = ""


def show(session: Session, run_id: int, person: str, queue: str, *, overlap: int = 1) -> Shown | None:
    """The pair that this person is to look at now, theirs for ten minutes; None where the queue has none left.

    overlap: how many people vote on each pair; one, unless more are wanted.
    """
    name, labels = named(person), _labels(session, run_id)
    lock_graph(session)
    time = now(session)
    session.execute(delete(VoteLease).where(VoteLease.expires_at <= time))
    mine = select(VoteLease).where(VoteLease.person == name, VoteLease.run_id == run_id, VoteLease.set_aside.is_(False))
    for lease in session.scalars(mine.order_by(VoteLease.token)).all():
        if lease.queue.partition("/")[0] == queue:
            lease.expires_at = time + LEASE
            return _shown(session, lease, labels)
        session.delete(lease)
    session.flush()
    done = _voted_by(session, labels, name)
    for why, pair_ids in candidates(session, labels, queue, start=f"{run_id} {name}", done=done):
        free = _free(session, pair_ids, name, min(max(overlap, 1), MOST_OVERLAP))
        if free is not None:
            lease = _lease(run_id, free, name, f"{queue}/{why}")
            lease.expires_at = time + LEASE
            session.add(lease)
            session.flush()
            return _shown(session, lease, labels)
    return None


def put_aside(session: Session, token: str) -> None:
    """This person does not want this pair now; others may have it."""
    lock_graph(session)
    lease = session.get(VoteLease, token)
    if lease is not None:
        lease.set_aside = True
        lease.expires_at = now(session) + LEASE


def cast(session: Session, shown: Shown, choice: str, seconds: float | None) -> int:
    """Write a vote; its id. The same card again gives the vote that it has."""
    if choice not in CHOICES:
        raise UnfitVote(f"{choice!r} is no vote: choose one of {', '.join(CHOICES)}.")
    lock_graph(session)
    given = session.scalar(select(Vote.id).where(Vote.token == shown.token))
    if given is not None:
        return given
    labels = _labels(session, shown.run_id)
    _keep_texts(session, labels, [shown.pair_id])
    vote = _vote(session, labels, shown, choice, seconds)
    session.execute(delete(VoteLease).where(VoteLease.pair_id == shown.pair_id, VoteLease.person == shown.person))
    session.flush()
    return vote.id


def undo(session: Session, run_id: int, person: str, queue: str = "") -> Shown | None:
    """Take this person's newest vote of the run back, by an event of its own; the pair is before them again, in the
    queue that they look at now."""
    name, labels = named(person), _labels(session, run_id)
    lock_graph(session)
    undone = aliased(Vote)
    newest = (
        select(Vote)
        .outerjoin(undone, undone.undoes == Vote.id)
        .where(Vote.person == name, Vote.run_id == run_id, Vote.vote != UNDO, undone.id.is_(None))
        .order_by(Vote.id.desc())
        .limit(1)
    )
    vote = session.scalars(newest).first()
    if vote is None:
        return None
    time = now(session)
    session.add(
        Vote(
            token=uuid.uuid4().hex, pair_id=vote.pair_id, data_stage_id=vote.data_stage_id, run_id=run_id, person=name,
            queue=vote.queue, shown_left=vote.shown_left, vote=UNDO, undoes=vote.id, at=time,
        )
    )  # fmt: skip
    others = VoteLease.person == name, VoteLease.run_id == run_id, VoteLease.set_aside.is_(False)
    session.execute(delete(VoteLease).where(*others))
    session.execute(delete(VoteLease).where(VoteLease.pair_id == vote.pair_id, VoteLease.person == name))
    why = vote.queue.rpartition("/")[2]
    lease = _lease(run_id, vote.pair_id, name, f"{queue}/{why}" if queue else vote.queue)
    lease.expires_at = time + LEASE
    session.add(lease)
    session.flush()
    return _shown(session, lease, labels)


def add(session: Session, run_id: int, person: str, votes: Collection[NewVote]) -> int:
    """Take votes that were given elsewhere; how many. A pair on which this person's vote holds already is left as it
    is; one that the run does not have, or whose prompt it is evaluated on, refuses all of them."""
    name, labels = named(person), _labels(session, run_id)
    lock_graph(session)
    wanted = {vote.pair_id: vote for vote in votes}
    _keep_texts(session, labels, list(wanted))
    standing = _standing(session, list(wanted), name)
    new = [pair_id for pair_id in wanted if pair_id not in standing]
    for pair_id in new:
        left, choice = shown_left(name, pair_id), _choice(session, wanted[pair_id])
        shown = Shown(
            token=uuid.uuid4().hex, run_id=run_id, pair_id=pair_id, person=name, queue="import", left=left, prompt="",
            response_a="", response_b="",
        )  # fmt: skip
        _vote(session, labels, shown, choice, None)
    session.flush()
    return len(new)


def _choice(session: Session, vote: NewVote) -> str:
    """The side whose text was chosen, or what was said instead."""
    if vote.choice:
        return vote.choice
    pair, chosen = session.get_one(VotedPair, vote.pair_id), clean_text(vote.chosen)
    if chosen not in (pair.response_a, pair.response_b):
        raise UnfitVote(f"Pair {vote.pair_id} has other responses than the file says.")
    return "a" if chosen == pair.response_a else "b"


def named(person: str) -> str:
    """The name as it is stored; UnfitVote where there is none."""
    name = " ".join(clean_text(person).split())[:LONGEST_NAME].strip()
    if not name:
        raise UnfitVote("A vote needs the name of who gives it: type yours.")
    return name


def shown_left(person: str, pair_id: str) -> str:
    """Which response this person sees on the left: by a fair coin for each person and pair, the same each time."""
    return "ab"[hashlib.sha256(f"{person}\0{pair_id}".encode()).digest()[0] & 1]


def _labels(session: Session, run_id: int) -> Published:
    found = published_labels(session, run_id)
    if found is None:
        raise UnfitVote(f"Run {run_id} has no weak labels yet: choose a run whose annotator has labeled.")
    return found


def _lease(run_id: int, pair_id: str, person: str, queue: str) -> VoteLease:
    return VoteLease(
        token=uuid.uuid4().hex, pair_id=pair_id, run_id=run_id, person=person, queue=queue,
        shown_left=shown_left(person, pair_id), set_aside=False,
    )  # fmt: skip


def _shown(session: Session, lease: VoteLease, labels: Published) -> Shown:
    pair = session.get_one(Pair, (labels.data_stage_id, lease.pair_id))
    return Shown(
        token=lease.token, run_id=lease.run_id, pair_id=lease.pair_id, person=lease.person, queue=lease.queue,
        left=lease.shown_left, prompt=pair.prompt, response_a=pair.response_a, response_b=pair.response_b,
    )  # fmt: skip


def _vote(session: Session, labels: Published, shown: Shown, choice: str, seconds: float | None) -> Vote:
    said = session.execute(
        select(Annotation.label, Annotation.confidence).where(
            Annotation.attempt_id == labels.attempt_id, Annotation.pair_id == shown.pair_id
        )
    ).first()
    taken = finite(seconds)
    vote = Vote(
        token=shown.token, pair_id=shown.pair_id, data_stage_id=labels.data_stage_id, run_id=shown.run_id,
        person=shown.person, queue=shown.queue, shown_left=shown.left, vote=choice,
        seconds=None if taken is None else min(max(taken, 0.0), LONGEST_VOTE),
        weak_label=said.label if said else None, confidence=said.confidence if said else None, at=now(session),
    )  # fmt: skip
    session.add(vote)
    return vote


def _keep_texts(session: Session, labels: Published, pair_ids: Collection[str]) -> None:
    """The texts of these pairs, once each; refuses those that the data do not have or that are evaluated on."""
    for some in batches(pair_ids, 500):
        rows = session.scalars(select(Pair).where(Pair.stage_id == labels.data_stage_id, Pair.pair_id.in_(some))).all()
        if len(rows) < len(set(some)):
            raise UnfitVote(f"{len(set(some)) - len(rows)} of the pairs are not among the pairs of this run's data.")
        _refuse_held_out(session, labels.data_stage_id, {row.prompt_id for row in rows})
        known = set(session.scalars(select(VotedPair.pair_id).where(VotedPair.pair_id.in_(some))))
        names = ("pair_id", "prompt_id", "prompt", "response_a", "response_b")
        session.add_all(
            VotedPair(**{name: getattr(row, name) for name in names}) for row in rows if row.pair_id not in known
        )
        session.flush()


def _refuse_held_out(session: Session, data_stage_id: int, prompt_ids: Collection[str]) -> None:
    published = select(Stage.published_attempt_id).where(Stage.id == data_stage_id).scalar_subquery()
    held = session.scalars(
        select(Prompt.prompt_id)
        .where(Prompt.stage_id == data_stage_id, Prompt.attempt_id == published, Prompt.prompt_id.in_(prompt_ids))
        .limit(1)
    ).first()
    if held is not None:
        raise UnfitVote("A pair whose prompt is evaluated on cannot be labeled for training.")


def _free(session: Session, pair_ids: list[str], person: str, overlap: int) -> str | None:
    """The first of these pairs that this person has not, and fewer people than `overlap` have."""
    people: dict[str, set[str]] = {}
    for pair_id, who in _holding(session, pair_ids):
        people.setdefault(pair_id, set()).add(who)
    for pair_id in pair_ids:
        having = people.get(pair_id, set())
        if person not in having and len(having) < overlap:
            return pair_id
    return None


def _holding(session: Session, pair_ids: list[str]) -> Iterator[tuple[str, str]]:
    """Who has voted on these pairs, or looks at them now; who set one aside has it only for themselves."""
    undone = aliased(Vote)
    votes = (
        select(Vote.pair_id, Vote.person)
        .outerjoin(undone, undone.undoes == Vote.id)
        .where(Vote.pair_id.in_(pair_ids), Vote.vote != UNDO, undone.id.is_(None))
    )
    yield from ((row.pair_id, row.person) for row in session.execute(votes))
    leases = select(VoteLease.pair_id, VoteLease.person).where(VoteLease.pair_id.in_(pair_ids))
    yield from ((row.pair_id, row.person) for row in session.execute(leases))


def _standing(session: Session, pair_ids: list[str], person: str) -> set[str]:
    found: set[str] = set()
    for some in batches(pair_ids, 500):
        found |= {pair_id for pair_id, who in _holding(session, some) if who == person}
    return found


def _voted_by(session: Session, labels: Published, person: str) -> int:
    """How many events this person has among the newest, which is what a mixed queue counts by."""
    events = select(Vote.id).where(Vote.person == person).order_by(Vote.id.desc()).limit(1)
    return session.scalar(events) or 0
