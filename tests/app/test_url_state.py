"""What is looked at survives the way through an address; a damaged address shows a page, never an error."""

from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.components.frame import leaving
from app.components.frame.address import (
    DATASETS,
    JUDGES,
    LABELS,
    METHODS,
    MOST_IDS,
    OBJECTIVES,
    ORDERS,
    STATUSES,
    Agreement,
    AnnotatorsView,
    CompareView,
    ExamplesView,
    RunsView,
    RunView,
    compact,
    expanded,
)
from app.components.frame.relabel_address import LOOKS, MOST_PEOPLE, QUEUES, RelabelView
from app.reads.compare import MOST_RUNS

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
COLUMN = st.sampled_from(["gra", "align.beta", "labels:mean_confidence", "data.mix.a b/c", "seconds", "x", "y", "z"])
HEX = st.text("0123456789abcdef", min_size=12, max_size=12)
IDS = st.integers(0, 999_999_999)
VIEWS = (RunsView, RunView, ExamplesView, CompareView, AnnotatorsView, RelabelView)


def several(names: Any) -> Any:
    return st.lists(st.sampled_from(list(names)), unique=True).map(tuple)


RUNS_VIEWS = st.builds(
    RunsView,
    q=TEXT,
    status=several(STATUSES),
    method=several(METHODS),
    objective=several(OBJECTIVES),
    dataset=st.sampled_from(list(DATASETS)),
    archived=st.booleans(),
    sort=TEXT,
    group=TEXT,
    columns=st.lists(COLUMN, unique=True, max_size=12).map(tuple),
    open=st.lists(HEX, unique=True, max_size=5).map(tuple),
    after=TEXT,
    ticked=st.lists(st.integers(0, 99_999), unique=True, max_size=60).map(tuple),
    view=st.sampled_from(["", "all", "12"]),
)
BOUNDS = st.tuples(st.integers(0, 100), st.integers(0, 100)).map(lambda pair: tuple(sorted(n / 100 for n in pair)))
EXAMPLES_VIEWS = BOUNDS.flatmap(
    lambda low_high: st.builds(
        ExamplesView,
        run=st.none() | IDS,
        low=st.just(low_high[0]),
        high=st.just(low_high[1]),
        agreement=st.sampled_from(get_args(Agreement)),
        order=st.sampled_from(list(ORDERS)),
        q=TEXT,
        pair=HEX,
        after=TEXT,
        human=st.booleans(),
        part=st.sampled_from(list(LABELS)),
    )
)
RELABEL_VIEWS = st.builds(
    RelabelView,
    run=st.none() | IDS,
    person=TEXT,
    queue=st.sampled_from(list(QUEUES)),
    people=st.integers(1, MOST_PEOPLE),
    look=st.sampled_from(list(LOOKS)),
)
COMPARE_VIEWS = st.builds(
    CompareView,
    runs=st.lists(st.integers(0, 99_999), unique=True, max_size=MOST_RUNS).map(tuple),
    prompt=HEX,
    reference=HEX,
    pair=st.lists(HEX.filter(bool), unique=True, max_size=2).map(tuple),
)
ANNOTATORS_VIEWS = st.builds(AnnotatorsView, annotator=st.none() | IDS, judge=st.sampled_from(list(JUDGES)))
GARBAGE = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
ADDRESSES = st.dictionaries(
    st.sampled_from([field.name for view in VIEWS for field in fields(view)] + ["c"]),
    GARBAGE | st.lists(GARBAGE, max_size=4),
)


@given(
    RUNS_VIEWS
    | st.builds(RunView, run=st.none() | IDS)
    | EXAMPLES_VIEWS
    | COMPARE_VIEWS
    | ANNOTATORS_VIEWS
    | RELABEL_VIEWS
)
def test_a_view_comes_back_from_its_address(view: Any) -> None:
    assert type(view).from_params(view.to_params()) == view


@given(RUNS_VIEWS | EXAMPLES_VIEWS | COMPARE_VIEWS)
def test_an_address_is_text_and_short(view: Any) -> None:
    values = [item for value in view.to_params().values() for item in (value if isinstance(value, list) else [value])]
    assert all(isinstance(value, str) for value in values)
    assert sum(map(len, values)) <= 2_000


def test_an_untouched_view_needs_no_parameter() -> None:
    assert [view().to_params() for view in VIEWS] == [{} for _ in VIEWS]


@given(ADDRESSES)
def test_any_address_is_read(params: dict[str, Any]) -> None:
    """Whatever somebody typed, every view is read, and reading what it wrote changes nothing more."""
    for view in VIEWS:
        read = view.from_params(params)
        assert view.from_params(read.to_params()) == read


def test_fifty_runs_that_no_span_joins_are_read_whole() -> None:
    runs = tuple(range(10_001, 10_101, 2))
    assert len(runs) == MOST_RUNS
    assert CompareView.from_params(CompareView(runs=runs).to_params()).runs == runs


def test_a_list_that_is_too_long_is_cut_between_its_pieces() -> None:
    """Of 13 characters for each key with its comma, 4,000 hold 307 keys."""
    keys = [f"{number:012x}" for number in range(400)]
    assert RunsView.from_params({"open": ",".join(keys)}).open == tuple(keys[:307])
    assert RunsView.from_params({"open": ",".join(["0", *keys])}).open == ("0", *keys[:307])
    assert RunsView.from_params({"open": "0" * 5_000}).open == ()


def test_numbers_are_folded_into_spans() -> None:
    """1, 2, 3 and 7 are written as 1-3,7; an order that is not ascending is kept."""
    assert compact((1, 2, 3, 7)) == "1-3,7"
    assert compact((7, 1, 2)) == "7,1-2"
    assert expanded("1-3,7") == (1, 2, 3, 7)


def test_as_many_runs_as_a_page_shows_come_back_whatever_their_numbers() -> None:
    """Fifty numbers of five digits without neighbours: three hundred characters."""
    view = CompareView(runs=tuple(range(10_000, 10_000 + 2 * MOST_RUNS, 2)))
    assert CompareView.from_params(view.to_params()) == view


def test_a_span_cannot_ask_for_more_runs_than_an_address_may_name() -> None:
    assert expanded("1-999999999") == tuple(range(1, MOST_IDS + 1))
    assert expanded("../../etc/passwd,-1,²,1e9, 5") == ()


@pytest.mark.parametrize(
    ("here", "then"),
    [
        ({}, {"ticked": ["1-4"]}),  # the browser knows of neither change
        ({"ticked": ["1"]}, {"ticked": ["1-4"]}),  # it knows of the first one
        ({"ticked": ["1-4"]}, {"ticked": ["1-4"]}),
        ({"q": ["cw"]}, {"q": ["cw"], "ticked": ["1-4"]}),  # it has changed something by itself
        ({"ticked": ["9"]}, {"ticked": ["9"]}),
    ],
)
def test_what_an_earlier_click_changed_holds_where_the_browser_does_not_know_of_it(
    here: dict[str, list[str]], then: dict[str, list[str]]
) -> None:
    assert leaving.merged(here, [{}, {"ticked": ["1"]}], {"ticked": ["1-4"]}) == then


def test_what_an_earlier_click_took_away_stays_away() -> None:
    assert leaving.merged({"ticked": ["1"], "sort": ["gra"]}, [{"ticked": ["1"]}], {}) == {"sort": ["gra"]}
