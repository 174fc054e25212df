"""The pairs that an annotator learned from, page by page; and how many pairs hold a text."""

from typing import Any

import pytest

from db import queries
from db.engine import Engines, read_scope, session_scope
from db.queries.people import labeled as module
from db.records import Cursor, LabeledRow
from db.repositories import annotations
from tests.db.labels import SUMMARY, annotated_pair
from tests.db.make import add_worker, claim, publish, submit
from tests.db.turning import there_and_back

PAIRS = 60


def half_labeled(database: Engines, *, every_human: bool = False) -> int:
    """Sixty pairs, of which the odd ones have weak labels; every tenth has no human label, unless every one has."""
    run_id = submit(database).run_id
    worker = add_worker(database)
    rows = [annotated_pair(number) for number in range(PAIRS)]
    for number in range(0, 0 if every_human else PAIRS, 10):
        rows[number]["human_label"] = None
    while (claimed := claim(database, worker)).kind != "labels":
        with session_scope(database) as session:
            if claimed.kind == "data":
                annotations.add_pairs(session, claimed, rows)
            publish(session, claimed, train_pairs=PAIRS)
    with session_scope(database) as session:
        annotations.add_annotations(session, claimed, rows[1::2], data_stage_id=claimed.input_stage_ids["data"])
        publish(session, claimed, **{**SUMMARY, "n": PAIRS // 2})
    return run_id


def walk(engines: Engines, run_id: int, **filters: Any) -> list[LabeledRow]:
    met: list[LabeledRow] = []
    after: Cursor | None = None
    while True:
        with read_scope(engines) as session:
            page = queries.labeled_pairs(session, run_id, after=after, limit=7, **filters)
        met += page.rows
        if page.next is None:
            return met
        after = decode(page.next.encode())


def decode(word: str) -> Cursor | None:
    return Cursor.decode(word, value=str, key=int)


def test_every_pair_with_a_human_label_and_no_weak_one_comes_once(database: Engines) -> None:
    run_id = half_labeled(database)
    wanted = [f"p{number:03d}" for number in range(0, PAIRS, 2) if number % 10]
    assert [row.pair_id for row in walk(database, run_id)] == wanted
    with read_scope(database) as session:
        assert queries.count_labeled(session, run_id) == PAIRS // 2


def test_the_walk_is_the_same_in_small_steps_and_with_a_search(database: Engines, monkeypatch: Any) -> None:
    run_id = half_labeled(database)
    whole = walk(database, run_id)
    monkeypatch.setattr(module, "STEP", 4)
    monkeypatch.setattr(module, "MOST_LOOKED_AT", 8)
    assert walk(database, run_id) == whole
    assert [row.pair_id for row in walk(database, run_id, text="PROMPT 4")] == ["p004", *(f"p04{n}" for n in "2468")]


@pytest.mark.parametrize(("text", "firsts"), [("", [1, 8, 15, 22, 29]), ("PROMPT 4", [None] * 3)])
def test_the_way_back_meets_the_same_pages(database: Engines, text: str, firsts: list[int | None]) -> None:
    """Thirty pairs have a human label and no weak one; of a search nobody knows the places."""
    run_id = half_labeled(database, every_human=True)

    def page_of(after: Cursor | None, before: Cursor | None) -> Any:
        with read_scope(database) as session:
            return queries.labeled_pairs(session, run_id, text=text, after=after, before=before, limit=2 if text else 7)

    pages = there_and_back(page_of, decode, lambda page: [row.pair_id for row in page.rows])
    assert [first for _, first in pages] == firsts


def test_a_search_that_gives_up_on_the_way_back_says_where_to_go_on(database: Engines, monkeypatch: Any) -> None:
    run_id = half_labeled(database)
    whole = [row.pair_id for row in walk(database, run_id, text="prompt 4")]
    monkeypatch.setattr(module, "STEP", 4)
    monkeypatch.setattr(module, "MOST_LOOKED_AT", 8)
    found: list[str] = []
    before: Cursor | None = Cursor(value="p999", id=0)
    for _ in range(20):
        with read_scope(database) as session:
            page = queries.labeled_pairs(session, run_id, text="prompt 4", before=before, limit=2)
        found = [*(row.pair_id for row in page.rows if row.pair_id not in found), *found]
        if page.previous is None:
            break
        before = decode(page.previous.encode())
    assert sorted(found) == whole


def test_a_search_is_counted_among_the_pairs_that_are_looked_at(database: Engines) -> None:
    run_id = half_labeled(database)
    view: dict[str, Any] = {"c_low": 0.0, "c_high": 1.0, "agreement": "any", "text": "prompt 1"}
    with read_scope(database) as session:
        assert queries.count_matching(session, run_id, **view, most=1_000) == (6, 30)  # 1, 11, 13, 15, 17, 19
        found, searched = queries.count_matching(session, run_id, **view, most=10)
    assert searched == 10
    assert found <= 6


def test_a_search_among_pairs_without_a_weak_label_is_counted(database: Engines) -> None:
    run_id = half_labeled(database)
    with read_scope(database) as session:
        assert queries.count_labeled_matching(session, run_id, text=" PROMPT 4", most=99) == (5, 24)  # 4, 42, 44, …
        assert queries.count_labeled_matching(session, run_id, text="prompt 4", most=10) == (1, 10)
        assert queries.count_labeled_matching(session, run_id, text="nowhere", most=1_000) == (0, 24)


def test_a_run_without_data_has_no_pairs(database: Engines) -> None:
    run_id = submit(database).run_id
    with read_scope(database) as session:
        assert queries.labeled_pairs(session, run_id).rows == ()
        assert queries.count_labeled(session, run_id) is None
        assert queries.count_labeled_matching(session, run_id, text="a", most=10) == (0, 0)
