"""People vote on pairs; their votes become sets of labels that runs use, and files."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from cwpo.bounds import json_text
from cwpo.data import consensus, relabels
from cwpo.data.filtering import to_candidate
from cwpo.data.readers.preference import to_pair
from cwpo.data.relabels import Relabel
from cwpo.data.rows import SURROGATE, BadRow, careful
from cwpo.errors import DataError
from db import queries
from db.records import SetRow, Shown, VotedText, VoteRow
from db.repositories.relabeling import sets as set_rows
from db.repositories.relabeling import votes as vote_rows
from db.repositories.relabeling.sets import NewSet
from db.repositories.relabeling.votes import NewVote
from workers.access import doing
from workers.access.doing import needs, nothing, reads, record, runs_of, say
from workers.access.roles import NotAllowed, Role, role_in
from workers.machine import patience
from workers.machine.database import reading, writing
from workers.machine.paths import store

MOST_IMPORTED = 50_000  # lines


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a set of the votes of a run would hold."""

    rows: tuple[Relabel, ...]
    undecided: int
    votes: int
    people: int

    @property
    def labels(self) -> int:
        return sum(row.label is not None for row in self.rows)

    @property
    def dropped(self) -> int:
        return len(self.rows) - self.labels


@reads
def voter(typed: str) -> str:
    """Whose vote it is: of whoever signed in; who has the installation types a name."""
    somebody = doing.person()
    return typed if somebody.owner else somebody.name


@needs(Role.ANNOTATOR, told=False)
@patience.patient()
def next_pair(run_id: int, person: str, queue: str, *, overlap: int = 1) -> Shown | None:
    """The pair that this person is to vote on now; nobody else gets it for ten minutes."""
    with writing() as session:
        return vote_rows.show(session, run_id, voter(person), queue, overlap=overlap)


@needs(Role.ANNOTATOR, told=False)
@patience.patient()
def put_aside(shown: Shown) -> None:
    """This person does not want this pair now."""
    with writing() as session:
        vote_rows.put_aside(session, shown.token)


@needs(Role.ANNOTATOR)
@patience.patient(doubtful=True)  # the same card a second time changes nothing
def cast_vote(shown: Shown, choice: str, seconds: float | None = None) -> int:
    """Write a vote; its id, once it is committed. The same card a second time changes nothing."""
    with writing() as session:
        own = replace(shown, person=vote_rows.named(voter(shown.person)))
        vote_id = vote_rows.cast(session, own, choice, seconds)
        record(session, f"pair {shown.pair_id}", after={"run": shown.run_id, "vote": choice, "person": own.person})
    return vote_id


@needs(Role.ANNOTATOR)
@patience.patient()
def undo_vote(run_id: int, person: str, queue: str = "") -> Shown | None:
    """Take this person's newest vote back and show the pair again; None where there is none."""
    with writing() as session:
        shown = vote_rows.undo(session, run_id, voter(person), queue)
        if shown is None:
            nothing()
        else:
            record(session, f"pair {shown.pair_id}", after={"run": run_id, "person": shown.person})
    return shown


@reads
def draft_set(run_id: int) -> Draft:
    """What the votes of a run come to, pair by pair."""
    with reading() as session:
        votes = queries.standing_votes(session, [run_id])
        texts = queries.voted_texts(session, {vote.pair_id for vote in votes})
    verdicts = consensus.verdicts(consensus.by_pair((vote.pair_id, vote.person, vote.vote) for vote in votes))
    rows = tuple(_relabel(texts[pair_id], found) for pair_id, found in verdicts.items() if found.verdict != "undecided")
    return Draft(
        rows=rows,
        undecided=len(verdicts) - len(rows),
        votes=len(votes),
        people=len({vote.person for vote in votes}),
    )


@needs(Role.RUNNER)
@patience.patient()
def make_set(run_id: int, name: str, note: str = "") -> SetRow:
    """Freeze the votes of a run as the next version of a set, which no later vote changes."""
    set_rows.check_name(name)
    draft = draft_set(run_id)
    if not draft.rows:
        raise DataError("No vote has decided a pair yet: a set needs at least one chosen side or dropped pair.")
    new = NewSet(
        fingerprint=relabels.put(store(), draft.rows), labels=draft.labels, dropped=draft.dropped,
        undecided=draft.undecided, votes=draft.votes, people=draft.people,
    )  # fmt: skip
    with writing() as session:
        version = set_rows.create(session, name, new, note.strip())
        record(session, f"set {name}@{version}", after={"run": run_id, "labels": new.labels})
    with reading() as session:
        return queries.find_relabel_set(session, f"{name}@{version}")


@needs(Role.RUNNER)
def set_file(fingerprint: str) -> str:
    """A set as JSONL: prompt, chosen, rejected, source, weight and the ids of pair and prompt."""
    say(f"set {fingerprint[:16]}")
    return relabels.content(relabels.read(store(), fingerprint))


@needs(Role.RUNNER)
def votes_file(run_id: int) -> Iterator[str]:
    """The votes of a run that hold as JSONL, oldest first; a vote for a side is a preference."""
    say(runs_of([run_id]))
    return _votes_file(run_id)


def _votes_file(run_id: int) -> Iterator[str]:
    with reading() as session:
        for vote, text in queries.all_votes(session, run_id):
            if not vote.undone:
                yield json.dumps(_vote_row(vote, text), ensure_ascii=False, sort_keys=True) + "\n"


@needs(Role.ANNOTATOR)
def import_votes(run_id: int, lines: Iterable[str], person: str) -> int:
    """Take the preferences of a JSONL file as votes of that person, or of whom its rows name; how many are new. A line
    that cannot be used refuses the file, and so do votes in the name of somebody else, which only an administrator and
    who has the installation may take (NotAllowed)."""
    by_person: dict[str, list[NewVote]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if number > MOST_IMPORTED:
            raise DataError(f"The file has more than {MOST_IMPORTED:,} lines: divide it.")
        who, vote = _imported(line, number, person)
        by_person.setdefault(vote_rows.named(who), []).append(vote)
    if not by_person:
        raise DataError("The file has no line with prompt, chosen and rejected.")
    return _add_votes(run_id, by_person)


@patience.patient()
def _add_votes(run_id: int, by_person: Mapping[str, Sequence[NewVote]]) -> int:
    with writing() as session:
        _check_names(session, by_person)
        taken = sum(vote_rows.add(session, run_id, who, votes) for who, votes in by_person.items())
        _check_names(session, by_person)  # once more: it waited its turn to write
        record(session, runs_of([run_id]), after={"votes": taken, "people": list(by_person)})
    return taken


def _check_names(session: Session, people: Iterable[str]) -> None:
    """Refuse votes of others, by the role as it is now."""
    somebody = doing.person()
    if somebody.owner or role_in(session, somebody) is Role.ADMIN:
        return
    own = vote_rows.named(somebody.name)
    others = sorted(name for name in people if name != own)
    if others:
        more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        raise NotAllowed(
            f"The file has votes of {others[0]}{more}, and you are {somebody.name}: votes of others are taken by an "
            "administrator. No vote was taken."
        )


def _imported(line: str, number: int, person: str) -> tuple[str, NewVote]:
    try:
        row = json_text.parsed(line)
        if not isinstance(row, dict):
            raise BadRow("unparsable", "is not an object")
        raw = careful(to_pair)(row)
        if any(isinstance(row.get(name), str) and SURROGATE.search(row[name]) for name in ("pair_id", "person")):
            raise BadRow("unparsable", "its pair_id or person holds half of a surrogate pair")
    except json_text.JsonError as error:
        raise DataError(f"Line {number} is not JSON: each is an object with prompt, chosen, rejected.") from error
    except BadRow as bad:
        raise DataError(f"Line {number} cannot be used: {bad}.") from bad
    said, pair_id, who = row.get("vote"), row.get("pair_id"), row.get("person")
    if not isinstance(said, str) or said not in vote_rows.CHOICES:
        said = "drop" if row.get("weight") == 0 else ""
    return (
        who if isinstance(who, str) and who.strip() else person,
        NewVote(
            pair_id=pair_id if isinstance(pair_id, str) else to_candidate(raw).pair_id,
            choice="" if said in ("a", "b") else said,
            chosen=raw.chosen,
        ),
    )


def _relabel(text: VotedText, found: consensus.Consensus) -> Relabel:
    return Relabel(
        pair_id=text.pair_id, prompt_id=text.prompt_id, prompt=text.prompt, response_a=text.response_a,
        response_b=text.response_b, label=found.side, votes=found.votes, agreeing=found.agreeing,
    )  # fmt: skip


def _vote_row(vote: VoteRow, text: VotedText) -> dict[str, object]:
    """Chosen and rejected are a and b where no side was chosen, with the weight 0."""
    first = vote.vote != "b"
    return {
        "pair_id": vote.pair_id,
        "prompt": text.prompt,
        "chosen": text.response_a if first else text.response_b,
        "rejected": text.response_b if first else text.response_a,
        "source": "human",
        "weight": 1.0 if vote.vote in ("a", "b") else 0.0,
        "vote": vote.vote,
        "person": vote.person,
        "queue": vote.queue,
        "shown_left": vote.shown_left,
        "seconds": vote.seconds,
        "at": vote.at.isoformat(),
    }
