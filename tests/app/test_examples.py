"""Examples in this process: another run keeps the view, a link keeps what is shown, files hold the view."""

import csv
import io
import json
import math

import pytest
import streamlit as st

from app.components.examples.exporting import all_pairs, written
from app.components.examples.jumping import range_of
from app.components.frame.address import ExamplesView
from app.reads.examples import labeled_run as labeled
from app.reads.examples import page_of
from app.reads.results import reading
from db import queries
from db.records import AnnotationPage, Cursor
from tests.app.visits import selects, visit, words
from tests.workers.labeled import labeled_run, pair_row


def test_another_run_keeps_the_filters_and_their_address_together(empty: None) -> None:
    first, second = labeled_run(), labeled_run(seed=1)
    view = ExamplesView(run=first, low=0.2, high=0.6, order="highest", human=True, after="[0.5,3]")
    page = visit("examples", **view.to_params())
    page.selectbox(key=f"pick_{first}").set_value(second).run()
    assert not page.exception
    said = dict(page.query_params)
    assert ExamplesView.from_params(said) == ExamplesView(run=second, low=0.2, high=0.6, order="highest", human=True)
    assert page.slider(key="c").value == (0.2, 0.6)
    assert page.selectbox(key="order").value == "highest"


def test_a_link_to_a_pair_keeps_the_human_labels(empty: None) -> None:
    run = labeled_run()
    assert "human=true" not in words(visit("examples", run=str(run)))
    assert f"pair={pair_row(0)['pair_id']}&human=true" in words(visit("examples", run=str(run), human="true"))
    one = visit("examples", run=str(run), pair=pair_row(0)["pair_id"], human="true")
    assert "human chose B, disagrees" in words(one)
    assert "human chose" not in words(visit("examples", run=str(run), pair=pair_row(0)["pair_id"]))


def test_labeled_pairs_have_no_confidence_and_a_human_label(empty: None) -> None:
    run = labeled_run(30)
    page = visit("examples", run=str(run), part="labeled")
    said = words(page)
    assert "1–10 of 30 pairs" in said
    assert "human label: chosen" in said
    assert "weak label: chosen" not in said
    assert "11–20 of 30 pairs" in words(page.button(key="next").click().run())
    assert "21–30 of 30 pairs" in words(page.button(key="next").click().run())
    assert "11–20 of 30 pairs" in words(page.button(key="previous").click().run())
    assert said == words(page.button(key="first").click().run())


def test_a_search_is_counted_on_demand(empty: None) -> None:
    page = visit("examples", run=str(labeled_run()), text="why")
    page.button(key="count_them").click().run()
    assert "60 pairs with this text of 60" in words(page)


def test_a_search_among_labeled_pairs_is_counted_too(empty: None) -> None:
    page = visit("examples", run=str(labeled_run()), part="labeled", text="ask about 7")
    assert "of 60" not in words(page)
    page.button(key="count_them").click().run()
    assert not page.exception
    assert "10 pairs with this text of 60" in words(page)


def test_files_have_the_whole_view_in_its_order(empty: None) -> None:
    run = labeled_run()
    view = ExamplesView(run=run, low=0.3, high=0.6)
    rows = [json.loads(line) for line in written(all_pairs(view), "JSONL").splitlines()]
    wanted = sorted(
        (pair_row(number)["confidence"], number) for number in range(60) if 0.3 <= pair_row(number)["confidence"] <= 0.6
    )
    assert [row["pair_id"] for row in rows] == [pair_row(number)["pair_id"] for _, number in wanted]
    assert all(row["chosen"] == row["response_a"] and row["weight"] == row["confidence"] for row in rows)
    table = list(csv.DictReader(io.StringIO(written(all_pairs(view), "CSV"))))
    assert [row["pair_id"] for row in table] == [row["pair_id"] for row in rows]
    labeled = [
        json.loads(line) for line in written(all_pairs(ExamplesView(run=run, part="human")), "JSONL").splitlines()
    ]
    assert len(labeled) == 60
    assert {row["source"] for row in labeled} == {"human"}
    assert len(list(all_pairs(view, most=3))) == 3


def test_a_bar_is_the_range_between_its_edges() -> None:
    edges = [place / 10 for place in range(11)]
    assert range_of(0.35, edges) == (0.3, 0.4)
    assert range_of(0.05, edges) == (0.0, 0.1)
    assert range_of(0.95, edges) == (0.9, 1.0)


@pytest.mark.parametrize("order", ["lowest", "highest", "confident_wrong"])
@pytest.mark.parametrize("limit", [7, 20])
def test_from_page_to_page_nothing_is_counted_and_the_place_is_the_counted_one(
    order: str, limit: int, empty: None
) -> None:
    """On to the end, back to the beginning, and from anywhere once more."""
    st.cache_resource.clear()
    found = labeled(labeled_run(60))
    assert found is not None
    assert found.labels is not None
    run, labels = found.row.id, found.labels

    def turn(after: Cursor | None, before: Cursor | None) -> AnnotationPage:
        with reading() as session:
            counted = queries.annotations(session, run, order=order, limit=limit, after=after, before=before)
        with selects() as said:
            page = page_of(
                run,
                labels,
                c=(0.0, 1.0),
                agreement="any",
                text="",
                order=order,
                after=after,
                before=before,
                limit=limit,
            )
        assert page == counted
        assert after is before is None or not any("count(" in one for one in said)
        return page

    page = turn(None, None)
    places: list[tuple[Cursor | None, Cursor | None]] = [(None, None)]
    while page.next is not None:
        places.append((page.next, None))
        page = turn(page.next, None)
    assert len(places) == math.ceil((page.total or 0) / limit)
    while page.previous is not None:
        places.append((None, page.previous))
        page = turn(None, page.previous)
    for after, before in places:
        turn(after, before)
