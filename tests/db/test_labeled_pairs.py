"""The pairs that an annotator learned from, page by page; and how many pairs hold a text."""

from typing import Any

from db import queries
from db.engine import Engines, read_scope, session_scope
from db.queries.people import labeled as module
from db.records import Cursor, LabeledRow
from db.repositories import annotations
from tests.db.labels import SUMMARY, annotated_pair
from tests.db.make import add_worker, claim, publish, submit

PAIRS = 60


def half_labeled(database: Engines) -> int:
    """Sixty pairs, of which the odd ones have weak labels; every tenth has no human label."""
    run_id = submit(database).run_id
    worker = add_worker(database)
    rows = [annotated_pair(number) for number in range(PAIRS)]
    for number in range(0, PAIRS, 10):
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
        after = Cursor.decode(page.next.encode(), value=str, key=int)


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


def test_a_search_is_counted_among_the_pairs_that_are_looked_at(database: Engines) -> None:
    run_id = half_labeled(database)
    view: dict[str, Any] = {"c_low": 0.0, "c_high": 1.0, "agreement": "any", "text": "prompt 1"}
    with read_scope(database) as session:
        assert queries.count_matching(session, run_id, **view, most=1_000) == (6, 30)  # 1, 11, 13, 15, 17, 19
        found, searched = queries.count_matching(session, run_id, **view, most=10)
    assert searched == 10
    assert found <= 6


def test_a_run_without_data_has_no_pairs(database: Engines) -> None:
    run_id = submit(database).run_id
    with read_scope(database) as session:
        assert queries.labeled_pairs(session, run_id).rows == ()
        assert queries.count_labeled(session, run_id) is None
