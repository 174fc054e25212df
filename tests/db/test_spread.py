"""Pairs on which annotators or passes disagree: their order, page by page, and runs in which nobody could disagree."""

from typing import Any

import pytest

from db import queries
from db.engine import Engines, read_scope, session_scope
from db.records import AnnotationRow, Cursor
from db.repositories import annotations
from tests.db.labels import SUMMARY, annotated_pair
from tests.db.make import add_worker, claim, new_run, publish, submit

PAIRS = 60


def labeled(database: Engines, *, members: int, **own: str) -> int:
    """A run with published labels; several members differ by spread 0, .1 … .6 in turn, with many ties."""
    run_id = submit(database, run=new_run(**({"seed": 4} if own else {})), **own).run_id
    worker = add_worker(database)
    rows = [annotated_pair(number) for number in range(PAIRS)]
    spreads: list[dict[str, Any]] = [
        {"spread": number * 3 % 7 / 10 if members > 1 else None} for number in range(PAIRS)
    ]
    while (claimed := claim(database, worker)).kind != "labels":
        with session_scope(database) as session:
            if claimed.kind == "data":
                annotations.add_pairs(session, claimed, rows)
            publish(session, claimed)
    with session_scope(database) as session:
        said = [row | spread for row, spread in zip(rows, spreads, strict=True)]
        annotations.add_annotations(session, claimed, said, data_stage_id=claimed.input_stage_ids["data"])
        publish(session, claimed, **SUMMARY)
    return run_id


def walk(engines: Engines, run_id: int, **filters: Any) -> list[AnnotationRow]:
    """Every page of seven, by the addresses that the pages write."""
    met: list[AnnotationRow] = []
    after: Cursor | None = None
    while True:
        with read_scope(engines) as session:
            page = queries.annotations(session, run_id, order="unsure", after=after, limit=7, **filters)
        met += page.rows
        if page.next is None:
            return met
        after = Cursor.decode(page.next.encode(), value=float, key=int)


def test_the_pairs_on_which_annotators_disagree_most_come_first_and_each_once(database: Engines) -> None:
    run_id = labeled(database, members=3)
    met = walk(database, run_id)
    assert [row.spread for row in met] == sorted((number * 3 % 7 / 10 for number in range(PAIRS)), reverse=True)
    assert len({row.pair_id for row in met}) == PAIRS
    with read_scope(database) as session:
        assert queries.has_spread(session, run_id)
        assert queries.annotations(session, run_id, order="unsure").total == PAIRS
        row = queries.get_annotation(session, run_id, "p002")
    assert row is not None
    assert row.spread == 0.6


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"agreement": "disagree"}, lambda number: number % 3 == 0),
        ({"c_low": 0.2, "c_high": 0.4}, lambda number: number * 7 % 10 in (2, 3, 4)),
        ({"text": "no 1"}, lambda number: str(number).startswith("1")),
    ],
)
def test_filters_and_a_search_keep_that_order(database: Engines, filters: dict[str, Any], wanted: Any) -> None:
    run_id = labeled(database, members=3)
    numbers = [number for number in range(PAIRS) if wanted(number)]
    met = walk(database, run_id, **filters)
    assert {row.pair_id for row in met} == {f"p{number:03d}" for number in numbers}
    assert [row.spread for row in met] == sorted((number * 3 % 7 / 10 for number in numbers), reverse=True)
    with read_scope(database) as session:
        total = queries.annotations(session, run_id, order="unsure", **filters).total
    assert total == (None if "text" in filters else len(numbers))


def test_where_one_annotator_labeled_once_nobody_disagrees(database: Engines) -> None:
    """Also beside a run with spreads: its pairs are not met."""
    labeled(database, members=3)
    alone = labeled(database, members=1, labels="-b")
    with read_scope(database) as session:
        assert not queries.has_spread(session, alone)
        page = queries.annotations(session, alone, order="unsure")
        assert (page.rows, page.total, page.next) == ((), 0, None)
        edited = queries.annotations(session, alone, order="unsure", after=Cursor(value=0.3, id=5))
        assert (edited.rows, edited.total) == ((), 0)
        rows = queries.annotations(session, alone, limit=PAIRS).rows
        assert {row.spread for row in rows} == {None}
        assert len(rows) == PAIRS
        assert not queries.has_spread(session, 99)
