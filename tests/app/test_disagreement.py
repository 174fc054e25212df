"""Examples over labels of two annotators with two passes each, and over those of one: workers computed both."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app.components.frame.address import ORDERS, ExamplesView
from cwpo.config.run import RunConfig, merged
from db import queries
from tests.app.visits import visit, words, work
from tests.workers.workplace import installation
from workers import api
from workers.machine.database import reading

SENTENCE = "An unsure annotator is another thing than two close answers"
PATTERN = re.compile(r"SD of Δ over 2 annotators × 2 passes (\d\.\d{3})")


@pytest.fixture(scope="module")
def labeled(
    tmp_path_factory: pytest.TempPathFactory, redis_process: str, materials: dict[str, Any]
) -> Iterator[tuple[int, int]]:
    """Two runs: several annotators and passes, and one annotator that labeled once."""
    home = tmp_path_factory.mktemp("disagreement")
    with installation(home, redis_process) as own:
        several = {"annotator": {"members": 2, "passes": 2, "label_dropout": 0.3}}
        runs = [api.submit_run(RunConfig.parse(merged(materials, over))).run_id for over in (several, {})]
        work(own, tuple(runs))
        st.cache_data.clear()
        yield runs[0], runs[1]
    st.cache_data.clear()


def shown(page: AppTest) -> list[float]:
    """The SD on every card of the page."""
    return [float(found[1]) for element in page.markdown if (found := PATTERN.search(element.value))]


def test_the_card_says_how_far_annotators_and_passes_differ(labeled: tuple[int, int]) -> None:
    several, alone = labeled
    page = visit("examples", run=str(several))
    assert len(shown(page)) == 10
    assert "SD of Δ" not in words(visit("examples", run=str(alone)))
    with reading() as session:
        row = queries.annotations(session, several, limit=1).rows[0]
    assert row.spread is not None
    one = visit("examples", **{name: str(value) for name, value in _pair(several, row.pair_id).items()})
    assert shown(one) == pytest.approx([row.spread], abs=5e-4)


def test_pairs_on_which_they_disagree_most_come_first_from_page_to_page(labeled: tuple[int, int]) -> None:
    several, _ = labeled
    page = visit("examples", run=str(several), order=ORDERS["unsure"])
    assert page.selectbox(key="order").value == "unsure"
    assert SENTENCE in words(page)
    first = shown(page)
    page.button(key="next").click().run()
    assert not page.exception
    met = [*first, *shown(page)]
    assert len(met) == 20
    assert met == sorted(met, reverse=True)
    with reading() as session:
        rows = queries.annotations(session, several, limit=1_000).rows
    assert met == pytest.approx(sorted((row.spread or 0.0 for row in rows), reverse=True)[:20], abs=5e-4)


def test_where_nobody_could_disagree_the_order_is_not_offered_and_a_link_to_it_shows_pairs(
    labeled: tuple[int, int],
) -> None:
    _, alone = labeled
    page = visit("examples", run=str(alone), order=ORDERS["unsure"])
    assert ORDERS["unsure"] not in page.selectbox(key="order").options
    assert page.selectbox(key="order").value == "lowest"
    assert SENTENCE not in words(page)
    assert re.search(r"1–\d+ of \d+ pairs", words(page))


def _pair(run: int, pair_id: str) -> dict[str, Any]:
    return ExamplesView(run=run, pair=pair_id).to_params()
