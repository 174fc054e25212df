"""Votes on pairs: who is shown which pair, that a vote is there once, what an undo leaves, and versions of sets."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Column, String, func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db import queries
from db.engine import Engines, now, read_scope, session_scope
from db.errors import DatabaseError, UnfitVote, UnknownSet
from db.models import Annotation, Prompt, Stage, Vote, VoteLease
from db.records import Shown
from db.repositories import runs
from db.repositories.relabeling import sets as relabel_sets
from db.repositories.relabeling import votes
from db.repositories.relabeling.sets import NewSet
from db.repositories.relabeling.votes import NewVote
from tests.db.test_spread import PAIRS, labeled

NEW = NewSet(fingerprint="f" * 64, labels=3, dropped=1, undecided=2, votes=8, people=2)
COLUMNS = list(Vote.metadata.tables["votes"].columns)


def show(engines: Engines, run: int, person: str = "Ada", queue: str = "lowest", overlap: int = 1) -> Shown | None:
    with session_scope(engines) as session:
        return votes.show(session, run, person, queue, overlap=overlap)


def card(engines: Engines, run: int, person: str = "Ada", queue: str = "lowest", overlap: int = 1) -> Shown:
    found = show(engines, run, person, queue, overlap)
    assert found is not None
    return found


def cast(engines: Engines, shown: Shown, choice: str = "a") -> int:
    with session_scope(engines) as session:
        return votes.cast(session, shown, choice, 2.5)


def undo(engines: Engines, run: int, person: str = "Ada") -> Shown | None:
    with session_scope(engines) as session:
        return votes.undo(session, run, person)


def standing(engines: Engines, run: int) -> list[tuple[str, str, str]]:
    with read_scope(engines) as session:
        return [(vote.pair_id, vote.person, vote.vote) for vote in queries.standing_votes(session, [run])]


def confidence(engines: Engines, run: int) -> dict[str, float]:
    with read_scope(engines) as session:
        return {row.pair_id: row.confidence for row in queries.annotations(session, run, limit=PAIRS).rows}


def test_lowest_goes_up_in_confidence_and_meets_every_pair_once(database: Engines) -> None:
    run = labeled(database, members=1)
    said = confidence(database, run)
    met = []
    while (shown := show(database, run)) is not None:
        met.append(shown.pair_id)
        cast(database, shown)
    assert len(set(met)) == len(met) == PAIRS
    assert [said[pair] for pair in met] == sorted(said.values())


def test_contradicted_are_the_confident_ones_that_the_human_label_contradicts(database: Engines) -> None:
    run = labeled(database, members=1)
    said = confidence(database, run)
    met = []
    while (shown := show(database, run, queue="contradicted")) is not None:
        met.append(shown.pair_id)
        cast(database, shown)
    assert sorted(met) == [f"p{number:03d}" for number in range(0, PAIRS, 3)]
    assert [said[pair] for pair in met] == sorted((said[pair] for pair in met), reverse=True)


def test_without_human_labels_another_annotator_contradicts(database: Engines) -> None:
    run = labeled(database, members=1)
    labeled(database, members=1, annotator="2")  # on the same pairs
    with session_scope(database) as session:
        session.execute(update(Annotation).values(agrees_human=None))
        newest = select(func.max(Annotation.attempt_id)).scalar_subquery()
        session.execute(
            update(Annotation).where(Annotation.attempt_id == newest, Annotation.pair_id == "p007").values(label="b")
        )
    assert card(database, run, queue="contradicted").pair_id == "p007"


def test_disagreement_needs_several_annotators(database: Engines) -> None:
    assert show(database, labeled(database, members=1), queue="disagree") is None
    run = labeled(database, members=3, data="2")
    with read_scope(database) as session:
        most = queries.annotations(session, run, order="unsure", limit=1).rows[0].pair_id
    assert card(database, run, queue="disagree").pair_id == most


def test_random_goes_through_pairs_in_no_order_of_confidence(database: Engines) -> None:
    run = labeled(database, members=1)
    said = confidence(database, run)
    met = []
    for _ in range(12):
        met.append(card(database, run, queue="random").pair_id)
        cast(database, card(database, run, queue="random"))
    assert len(set(met)) == 12
    assert [said[pair] for pair in met] not in (sorted(said[pair] for pair in met), sorted(said.values())[:12])


def test_mixed_says_which_queue_each_pair_is_from(database: Engines) -> None:
    run = labeled(database, members=3)
    met = Counter[str]()
    for _ in range(25):
        shown = card(database, run, queue="mixed")
        met[shown.queue] += 1
        cast(database, shown)
    assert set(met) >= {"mixed/lowest", "mixed/contradicted", "mixed/random"}
    with read_scope(database) as session:
        counts = queries.vote_counts(session, run)
    assert counts.people == {"Ada": 25}
    assert sum(counts.queues.values()) == 25


def test_two_people_never_get_the_same_pair_unless_it_is_wanted(database: Engines) -> None:
    run = labeled(database, members=1)
    first = card(database, run, "Ada")
    assert card(database, run, "Bo").pair_id != first.pair_id
    assert card(database, run, "Ada") == first  # theirs, until they vote
    cast(database, first)
    assert card(database, run, "Cy").pair_id != first.pair_id
    assert card(database, run, "Di", overlap=2).pair_id == first.pair_id
    assert card(database, run, "Ed", overlap=2).pair_id != first.pair_id  # two have it


def test_people_who_ask_at_once_get_different_pairs(database: Engines) -> None:
    run = labeled(database, members=1)
    with ThreadPoolExecutor(8) as pool:
        shown = list(pool.map(lambda number: card(database, run, f"person {number}").pair_id, range(16)))
    assert len(set(shown)) == 16


def test_a_pair_that_nobody_voted_on_for_ten_minutes_goes_to_others(database: Engines) -> None:
    run = labeled(database, members=1)
    left = card(database, run, "Ada")
    with session_scope(database) as session:
        expires = session.scalars(select(VoteLease.expires_at)).one()
        assert timedelta(minutes=9) < expires - now(session) <= timedelta(minutes=10)
        session.execute(update(VoteLease).values(expires_at=now(session)))
    assert card(database, run, "Bo").pair_id == left.pair_id
    cast(database, left)  # Ada comes back to the card that is still open
    assert len(standing(database, run)) == 1


def test_a_pair_put_aside_comes_back_to_nobody_at_once(database: Engines) -> None:
    run = labeled(database, members=1)
    first = card(database, run)
    with session_scope(database) as session:
        votes.put_aside(session, first.token)
    assert card(database, run).pair_id != first.pair_id


def test_the_same_card_is_one_vote_however_often_it_is_sent(database: Engines) -> None:
    run = labeled(database, members=1)
    shown = card(database, run)
    first = cast(database, shown, "b")
    assert cast(database, shown, "b") == first
    assert cast(database, shown, "a") == first  # and the first one counts
    assert standing(database, run) == [(shown.pair_id, "Ada", "b")]


def test_an_undo_is_an_event_and_the_pair_comes_back(database: Engines) -> None:
    run = labeled(database, members=1)
    shown = card(database, run)
    cast(database, shown, "a")
    again = undo(database, run)
    assert again is not None
    assert (again.pair_id, again.left) == (shown.pair_id, shown.left)
    assert standing(database, run) == []
    assert undo(database, run) is None
    assert card(database, run) == again
    cast(database, again, "tie")
    assert standing(database, run) == [(shown.pair_id, "Ada", "tie")]
    with read_scope(database) as session:
        assert [vote for (vote,) in session.execute(select(Vote.vote).order_by(Vote.id))] == ["a", "undo", "tie"]
        newest = queries.newest_votes(session, run, "Ada")
    assert [(vote.vote, vote.undone) for vote in newest] == [("tie", False), ("a", True)]


def test_an_undone_pair_comes_back_in_the_queue_that_is_looked_at(database: Engines) -> None:
    run = labeled(database, members=1)
    shown = card(database, run)
    cast(database, shown)
    with session_scope(database) as session:
        again = votes.undo(session, run, "Ada", "random")
    assert again is not None
    assert again.queue == "random/lowest"
    assert card(database, run, queue="random") == again


def test_what_is_shown_says_nothing_of_any_label(database: Engines) -> None:
    assert set(Shown.__dataclass_fields__) == {
        "token", "run_id", "pair_id", "person", "queue", "left", "prompt", "response_a", "response_b",
    }  # fmt: skip


def test_left_is_a_fair_coin_for_each_person_and_pair() -> None:
    drawn = Counter(votes.shown_left(f"person {number % 10}", f"pair {number // 10}") for number in range(10_000))
    assert abs(drawn["a"] / 10_000 - 0.5) < 0.02
    assert votes.shown_left("Ada", "p1") == votes.shown_left("Ada", "p1")
    assert {votes.shown_left(f"person {number}", "p1") for number in range(20)} == {"a", "b"}


def test_a_vote_keeps_what_was_shown_and_what_the_annotator_had_said(database: Engines) -> None:
    run = labeled(database, members=1)
    shown = card(database, run)
    cast(database, shown, "drop")
    with read_scope(database) as session:
        (vote,) = queries.standing_votes(session, [run])
        (newest,) = queries.newest_votes(session, run, "Ada")
    assert (vote.shown_left, vote.weak_label, vote.confidence, vote.seconds) == (shown.left, "a", 0.0, 2.5)
    assert newest.human_label in ("a", "b")


def test_votes_outlive_their_run(database: Engines) -> None:
    run = labeled(database, members=1)
    shown = card(database, run)
    cast(database, shown)
    card(database, run)
    with session_scope(database) as session:
        runs.cancel(session, run)
        runs.delete(session, run)
    with read_scope(database) as session:
        assert session.execute(select(Vote.run_id, Vote.data_stage_id, Vote.vote)).all() == [(None, None, "a")]
        assert queries.voted_texts(session, [shown.pair_id])[shown.pair_id].prompt == shown.prompt


def test_a_vote_is_neither_changed_nor_deleted_whoever_asks(database: Engines) -> None:
    """In no column, to nothing or to something else; only what it points to may go."""
    run = labeled(database, members=1)
    cast(database, card(database, run))
    cast(database, card(database, run), "b")
    assert undo(database, run) is not None
    before = every_vote(database)
    statements = [
        *(f"UPDATE votes SET \"{column.name}\" = {another(column)} WHERE vote = 'b'" for column in COLUMNS),
        "UPDATE votes SET weak_label = NULL WHERE vote = 'b'",
        "UPDATE votes SET undoes = NULL WHERE vote = 'undo'",
        "UPDATE votes SET run_id = NULL, vote = 'a' WHERE vote = 'b'",
        "DELETE FROM votes WHERE vote = 'b'",
    ]
    for statement in statements:
        with pytest.raises((DBAPIError, DatabaseError), match="never changed"), session_scope(database) as session:
            session.execute(text(statement))
    assert (len(before), every_vote(database)) == (3, before)
    with session_scope(database) as session:
        session.execute(text("UPDATE votes SET run_id = NULL, data_stage_id = NULL"))
    assert every_vote(database) == [row | {"run_id": None, "data_stage_id": None} for row in before]


def every_vote(engines: Engines) -> list[dict[str, Any]]:
    with read_scope(engines) as session:
        return [dict(row._mapping) for row in session.execute(select(*COLUMNS).order_by(Vote.id))]


def another(column: "Column[Any]") -> str:
    """In SQL, a value that the column has not, whichever it has."""
    if column.name == "at":
        return "CURRENT_TIMESTAMP"
    return "'z'" if isinstance(column.type, String) else f'coalesce("{column.name}", 0) + 7'


@pytest.mark.parametrize("name", ["", "  \t", "\u2003"])
def test_a_vote_needs_a_name(database: Engines, name: str) -> None:
    run = labeled(database, members=1)
    with pytest.raises(UnfitVote, match="name"):
        show(database, run, name)


def test_nothing_else_than_a_vote_is_a_vote(database: Engines) -> None:
    run = labeled(database, members=1)
    with pytest.raises(UnfitVote, match="choose one of a, b, tie, unsure, drop"):
        cast(database, card(database, run), "undo")


def hold_out(session: Session, prompt_id: str) -> None:
    stage = session.scalars(select(Stage).where(Stage.kind == "data")).one()
    session.add(
        Prompt(stage_id=stage.id, attempt_id=stage.published_attempt_id, prompt_id=prompt_id, prompt="held out")
    )


def test_a_pair_of_the_evaluation_cannot_be_voted_on(database: Engines) -> None:
    run = labeled(database, members=1)
    shown = card(database, run)
    with session_scope(database) as session:
        hold_out(session, shown.pair_id.replace("p", "q"))
    with pytest.raises(UnfitVote, match="evaluated on"):
        cast(database, shown)
    with pytest.raises(UnfitVote, match="evaluated on"), session_scope(database) as session:
        votes.add(session, run, "file", [NewVote(pair_id=shown.pair_id, choice="tie")])
    assert standing(database, run) == []


def test_a_file_is_taken_whole_or_not_at_all(database: Engines) -> None:
    run = labeled(database, members=1)
    good = [NewVote(pair_id="p001", chosen="no 1"), NewVote(pair_id="p002", choice="drop")]

    def take(*more: NewVote) -> int:
        with session_scope(database) as session:
            return votes.add(session, run, "file", [*good, *more])

    for wrong in (NewVote(pair_id="unknown", choice="a"), NewVote(pair_id="p003", chosen="something else")):
        with pytest.raises(UnfitVote):
            take(wrong)
    assert standing(database, run) == []
    assert take() == 2
    assert take() == 0  # the second time they are there
    assert standing(database, run) == [("p001", "file", "b"), ("p002", "file", "drop")]


def test_versions_of_a_set_count_up_and_equal_labels_are_the_same_one(database: Engines) -> None:
    run = labeled(database, members=1)
    with session_scope(database) as session:
        assert relabel_sets.create(session, "easy", NEW, "two of us") == 1
        assert relabel_sets.create(session, "easy", NEW) == 1
        other = NewSet(fingerprint="e" * 64, labels=4, dropped=0, undecided=0, votes=9, people=2)
        assert relabel_sets.create(session, "easy", other) == 2
        relabel_sets.used(session, run, "f" * 64)
    with read_scope(database) as session:
        assert queries.find_relabel_set(session, "easy").version == 2
        first = queries.find_relabel_set(session, "easy@1")
        assert (first.key, first.labels, first.note, first.runs) == ("easy@1", 3, "two of us", (run,))
        assert [row.key for row in queries.relabel_sets(session)] == ["easy@2", "easy@1"]
        with pytest.raises(UnknownSet, match="has no version 3; it has 1, 2"):
            queries.find_relabel_set(session, "easy@3")
        with pytest.raises(UnknownSet, match="choose one of easy"):
            queries.find_relabel_set(session, "hard")
    with pytest.raises(UnfitVote, match="cannot be a name"), session_scope(database) as session:
        relabel_sets.create(session, "a@b", NEW)
