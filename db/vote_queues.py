"""Which pairs are worth a person's minute: queues of the pairs that a run's annotator labeled, read from indexes."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.errors import UnfitVote
from db.models import Annotation, RunStage, Stage, StageInput

LOWEST, CONTRADICTED, DISAGREE, RANDOM, MIXED = "lowest", "contradicted", "disagree", "random", "mixed"
QUEUES = (MIXED, LOWEST, CONTRADICTED, DISAGREE, RANDOM)
# Of a hundred pairs of the mixed queue, how many each of the others gives.
SHARES: Mapping[str, int] = {LOWEST: 50, CONTRADICTED: 20, DISAGREE: 10, RANDOM: 20}
CHUNK = 100  # pairs that are looked at together
MOST_COMPARED = 5_000  # pairs that another annotator is asked about


@dataclass(frozen=True, kw_only=True)
class Published:
    """The labels that a run's pairs have, and the data that they are of."""

    stage_id: int
    attempt_id: int
    data_stage_id: int

    @property
    def mine(self) -> tuple[ColumnElement[bool], ...]:
        return Annotation.stage_id == self.stage_id, Annotation.attempt_id == self.attempt_id


def published_labels(session: Session, run_id: int) -> Published | None:
    """The labels of a run; None before they are there."""
    found = session.execute(
        select(Stage.id, Stage.published_attempt_id, StageInput.input_stage_id)
        .join(RunStage, RunStage.stage_id == Stage.id)
        .join(StageInput, (StageInput.stage_id == Stage.id) & (StageInput.name == "data"))
        .where(RunStage.run_id == run_id, RunStage.slot == "labels", Stage.published_attempt_id.is_not(None))
    ).first()
    if found is None or found[1] is None:
        return None
    return Published(stage_id=found[0], attempt_id=found[1], data_stage_id=found[2])


def has_spread(session: Session, labels: Published) -> bool:
    """Whether several annotators or passes labeled."""
    known = select(Annotation.id).where(*labels.mine, Annotation.spread.is_not(None)).limit(1)
    return session.execute(known).first() is not None


def candidates(
    session: Session, labels: Published, queue: str, *, start: str, done: int
) -> Iterator[tuple[str, list[str]]]:
    """Pairs of a queue in its order, some at a time, each time with the queue that they are from.

    start: what the random order begins with. done: a number that changes with each vote, by which mixed chooses.
    """
    if queue not in QUEUES:
        raise UnfitVote(f"{queue!r} is no queue: choose one of {', '.join(QUEUES)}.")
    for name in _order(queue, f"{start} {done}") if queue == MIXED else (queue,):
        for pair_ids in _pairs(session, labels, name, start):
            yield name, pair_ids


def _order(queue: str, coin: str) -> list[str]:
    """The queue whose turn it is, then the others: no pair is left because one queue is empty."""
    place = int.from_bytes(hashlib.sha256(coin.encode()).digest()[:4]) % sum(SHARES.values())
    for name, share in SHARES.items():
        if place < share:
            return [name, *(other for other in SHARES if other != name)]
        place -= share
    raise AssertionError(queue)


def _pairs(session: Session, labels: Published, name: str, start: str) -> Iterator[list[str]]:
    if name == LOWEST:
        yield from _walk(session, labels, Annotation.confidence, descending=False)
    elif name == DISAGREE:
        if has_spread(session, labels):
            yield from _walk(session, labels, Annotation.spread, known=(Annotation.spread.is_not(None),))
    elif name == RANDOM:
        yield from _random(session, labels, start)
    elif _knows_humans(session, labels):
        wrong = (Annotation.agrees_human.is_(False),)
        yield from _walk(session, labels, Annotation.confidence, known=wrong)
    else:
        yield from _contradicted_by_another(session, labels)


def _walk(
    session: Session,
    labels: Published,
    column: InstrumentedAttribute[Any],
    *,
    descending: bool = True,
    known: Sequence[ColumnElement[bool]] = (),
) -> Iterator[list[str]]:
    """Pairs by one indexed column, then by id."""
    order = (column, Annotation.id)
    keys: Select[*tuple[Any, ...]] = select(*order, Annotation.pair_id).where(*labels.mine, *known)
    keys = keys.order_by(*(each.desc() if descending else each for each in order)).limit(CHUNK)
    rows = session.execute(keys).all()
    while rows:
        yield [row.pair_id for row in rows]
        if len(rows) < CHUNK:
            return
        here, last = tuple_(*order), tuple_(rows[-1][0], rows[-1].id)
        rows = session.execute(keys.where(here < last if descending else here > last)).all()


def _random(session: Session, labels: Published, start: str) -> Iterator[list[str]]:
    """All pairs from a random place on: a pair's id is a hash of its texts, so that their order is a random one."""
    place = hashlib.sha256(start.encode()).hexdigest()[:16]
    keys = select(Annotation.pair_id).where(Annotation.attempt_id == labels.attempt_id)
    keys = keys.order_by(Annotation.pair_id).limit(CHUNK)
    for end in (None, place):  # to the end, then from the beginning up to the place
        last, found = place if end is None else "", True
        while found:
            some = keys.where(Annotation.pair_id > last)
            pair_ids = list(session.scalars(some if end is None else some.where(Annotation.pair_id <= end)))
            if pair_ids:
                yield pair_ids
                last = pair_ids[-1]
            found = len(pair_ids) == CHUNK


def _knows_humans(session: Session, labels: Published) -> bool:
    """Looked for among the first pairs: data have human labels throughout, or none."""
    first = select(Annotation.agrees_human).where(*labels.mine).order_by(Annotation.confidence, Annotation.id)
    return any(agrees is not None for agrees in session.scalars(first.limit(MOST_COMPARED)))


def _contradicted_by_another(session: Session, labels: Published) -> Iterator[list[str]]:
    """The most confident pairs that the newest other annotator of the same data labels the other way round."""
    other = session.execute(
        select(Stage.published_attempt_id)
        .join(StageInput, (StageInput.stage_id == Stage.id) & (StageInput.name == "data"))
        .where(
            StageInput.input_stage_id == labels.data_stage_id, Stage.kind == "labels", Stage.id != labels.stage_id,
            Stage.published_attempt_id.is_not(None),
        )
        .order_by(Stage.id.desc())
        .limit(1)
    ).scalar()  # fmt: skip
    if other is None:
        return
    mine, theirs = aliased(Annotation), aliased(Annotation)
    compared = 0
    for pair_ids in _walk(session, labels, Annotation.confidence):
        against = (
            select(mine.pair_id)
            .join(theirs, (theirs.attempt_id == other) & (theirs.pair_id == mine.pair_id))
            .where(mine.attempt_id == labels.attempt_id, mine.pair_id.in_(pair_ids), mine.label != theirs.label)
        )
        found = set(session.scalars(against))
        yield [pair_id for pair_id in pair_ids if pair_id in found]
        compared += len(pair_ids)
        if compared >= MOST_COMPARED:
            return
