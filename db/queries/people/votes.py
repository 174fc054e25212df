"""Votes and sets of labels, for the pages that show them and for files."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session, aliased

from db.engine import batches
from db.errors import UnknownSet
from db.models import Pair, Prompt, RelabelSet, RelabelUse, Stage, Vote, VotedPair
from db.records import SetRow, VoteCounts, VotedText, VoteRow

MOST_VOTES = 100_000  # of one run, that a page or a set takes
MOST_SETS = 200
_COLUMNS = (
    Vote.id, Vote.token, Vote.pair_id, VotedPair.prompt_id, Vote.run_id, Vote.person, Vote.queue, Vote.shown_left,
    Vote.vote, Vote.seconds, Vote.weak_label, Vote.confidence, Vote.at,
)  # fmt: skip


def vote_counts(session: Session, run_id: int) -> VoteCounts:
    """How many votes of a run hold, by person and by what brought the pair."""
    undone = aliased(Vote)
    rows = session.execute(
        select(Vote.person, Vote.queue, func.count())
        .outerjoin(undone, undone.undoes == Vote.id)
        .where(Vote.run_id == run_id, Vote.vote != "undo", undone.id.is_(None))
        .group_by(Vote.person, Vote.queue)
    ).all()
    people: dict[str, int] = {}
    queues: dict[str, int] = {}
    for person, queue, count in rows:
        people[person] = people.get(person, 0) + count
        why = queue.rpartition("/")[2]
        queues[why] = queues.get(why, 0) + count
    return VoteCounts(people=people, queues=queues)


def standing_votes(session: Session, run_ids: Collection[int], *, limit: int = MOST_VOTES) -> list[VoteRow]:
    """The votes on these runs that hold, oldest first: of a person on a pair the newest, undone ones not."""
    held: dict[tuple[str, str], VoteRow] = {}
    for vote in _votes(session, [Vote.run_id.in_(run_ids)], limit):
        if not vote.undone:
            held[vote.pair_id, vote.person] = vote
    return sorted(held.values(), key=lambda vote: vote.id)


def newest_votes(session: Session, run_id: int, person: str, *, limit: int = 10) -> list[VoteRow]:
    """The newest votes of a person on a run, newest first, undone ones marked; with the human label of the data."""
    wanted = [Vote.run_id == run_id, Vote.person == person]
    undone = aliased(Vote)
    rows = session.execute(
        select(*_COLUMNS, undone.id.label("undoer"), Pair.human_label)
        .join(VotedPair, VotedPair.pair_id == Vote.pair_id)
        .outerjoin(undone, undone.undoes == Vote.id)
        .outerjoin(Pair, (Pair.stage_id == Vote.data_stage_id) & (Pair.pair_id == Vote.pair_id))
        .where(*wanted, Vote.vote != "undo")
        .order_by(Vote.id.desc())
        .limit(limit)
    ).all()
    return [_row(row, human_label=row.human_label) for row in rows]


def all_votes(session: Session, run_id: int, *, limit: int = MOST_VOTES) -> Iterator[tuple[VoteRow, VotedText]]:
    """Every vote of a run with the texts of its pair, oldest first, some at a time."""
    votes = _votes(session, [Vote.run_id == run_id], limit)
    for some in batches(votes, 200):
        texts = voted_texts(session, [vote.pair_id for vote in some])
        yield from ((vote, texts[vote.pair_id]) for vote in some)


def voted_texts(session: Session, pair_ids: Collection[str]) -> dict[str, VotedText]:
    """The texts of pairs that were voted on."""
    found: dict[str, VotedText] = {}
    for some in batches(pair_ids, 500):
        for row in session.scalars(select(VotedPair).where(VotedPair.pair_id.in_(some))):
            found[row.pair_id] = VotedText(
                pair_id=row.pair_id, prompt_id=row.prompt_id, prompt=row.prompt, response_a=row.response_a,
                response_b=row.response_b,
            )  # fmt: skip
    return found


def relabel_sets(session: Session) -> list[SetRow]:
    """Every version of every set, newest first, with the runs that use it."""
    return _sets(session, [])


def set_sizes(session: Session, fingerprints: Collection[str | None]) -> dict[str, int]:
    """How many pairs people decided in these sets, the dropped ones too."""
    if not fingerprints:
        return {}
    rows = session.execute(
        select(RelabelSet.fingerprint, (RelabelSet.labels + RelabelSet.dropped).label("size")).where(
            RelabelSet.fingerprint.in_(fingerprints)
        )
    )
    return {row.fingerprint: row.size for row in rows}


def find_relabel_set(session: Session, text: str) -> SetRow:
    """The set behind NAME (its newest version) or NAME@VERSION; UnknownSet lists what there is."""
    name, _, version = text.partition("@")
    rows = _sets(session, [RelabelSet.name == name])
    found = [row for row in rows if not version or str(row.version) == version]
    if found:
        return max(found, key=lambda row: row.version)
    if rows:
        versions = ", ".join(str(row.version) for row in reversed(rows))
        raise UnknownSet(f"{name} has no version {version}; it has {versions}.")
    names = session.scalars(select(RelabelSet.name).distinct().order_by(RelabelSet.name).limit(20)).all()
    known = f"choose one of {', '.join(names)}" if names else "there is none yet; the Relabel page makes one of votes"
    raise UnknownSet(f"there is no set of labels named {name!r}; {known}.")


def held_out_among(session: Session, fingerprints: Collection[str], prompt_ids: Sequence[str]) -> int:
    """How many of these prompts published data stages of these fingerprints hold out for the evaluation."""
    stages = session.execute(
        select(Stage.id, Stage.published_attempt_id).where(
            Stage.fingerprint.in_(fingerprints), Stage.published_attempt_id.is_not(None)
        )
    ).all()
    found: set[str] = set()
    for stage_id, attempt_id in stages:
        for some in batches(prompt_ids, 500):
            held = select(Prompt.prompt_id).where(
                Prompt.stage_id == stage_id, Prompt.attempt_id == attempt_id, Prompt.prompt_id.in_(some)
            )
            found |= set(session.scalars(held))
    return len(found)


def _votes(session: Session, conditions: list[ColumnElement[bool]], limit: int) -> list[VoteRow]:
    undone = aliased(Vote)
    statement: Select[*tuple[Any, ...]] = (
        select(*_COLUMNS, undone.id.label("undoer"))
        .join(VotedPair, VotedPair.pair_id == Vote.pair_id)
        .outerjoin(undone, undone.undoes == Vote.id)
        .where(*conditions, Vote.vote != "undo")
        .order_by(Vote.id)
        .limit(limit)
    )
    return [_row(row) for row in session.execute(statement)]


def _row(row: Any, human_label: str | None = None) -> VoteRow:
    values = {column.key: getattr(row, column.key) for column in _COLUMNS}
    return VoteRow(**values, undone=row.undoer is not None, human_label=human_label)


def _sets(session: Session, conditions: list[ColumnElement[bool]]) -> list[SetRow]:
    rows = session.scalars(select(RelabelSet).where(*conditions).order_by(RelabelSet.id.desc()).limit(MOST_SETS)).all()
    uses = session.execute(
        select(RelabelUse.fingerprint, RelabelUse.run_id)
        .where(RelabelUse.fingerprint.in_({row.fingerprint for row in rows}))
        .order_by(RelabelUse.run_id.desc())
    ).all()
    runs: dict[str, list[int]] = {}
    for fingerprint, run_id in uses:
        runs.setdefault(fingerprint, []).append(run_id)
    names = (
        "name", "version", "fingerprint", "labels", "dropped", "undecided", "votes", "people", "note", "created_at",
    )  # fmt: skip
    return [
        SetRow(**{name: getattr(row, name) for name in names}, runs=tuple(runs.get(row.fingerprint, ())))
        for row in rows
    ]
