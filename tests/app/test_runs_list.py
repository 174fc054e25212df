"""What a click on a heading or a tick makes of an address, and what the cells of chosen columns say."""

import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from app.components.frame.address import MOST_IDS
from app.components.runs import columns, table, ticks
from cwpo.config.run import RunConfig
from db.records.listing import EACH_RUN, NEWEST, SETTING, Figure, Line
from tests.app.visits import Computed, visit, words
from workers import api
from workers.api import keeping

LINES = [[1, 2], [3], [4, 5, 6], [7]]
ROWS = st.sets(st.integers(0, len(LINES) - 1))


@given(st.sets(st.integers(1, 20)), ROWS)
def test_a_click_changes_the_runs_of_its_lines_alone(ticked: set[int], now: set[int]) -> None:
    before = ticks.rows_of_ids(LINES, ticked)
    after = set(ticks.after_click(sorted(ticked), LINES, before, now))
    elsewhere = set(range(1, 21)) - {run for line in LINES for run in line}
    assert after & elsewhere == ticked & elsewhere
    for row, line in enumerate(LINES):
        if row in now:
            assert after.issuperset(line)
        elif row in before:
            assert after.isdisjoint(line)
        else:
            assert after & set(line) == ticked & set(line)


def test_a_column_grows_for_what_stands_in_it_up_to_a_bound() -> None:
    setting, status = columns.column("setting"), columns.column("status")
    usual = columns.width_for(setting, ["CW · DPO"])
    long = columns.width_for(setting, ["CW · DPO", "CW · DPO · warmup steps 20 · lr"])
    assert (usual, columns.width_for(setting, ["x" * 200])) == (setting.width, setting.widest)
    assert usual < long < setting.widest
    assert columns.width_for(status, ["x" * 200]) == status.width


def test_more_runs_than_an_address_names_are_refused_as_a_whole() -> None:
    """What is done next would be done to a part of them that nobody chose."""

    def ticking(number: int) -> None:
        import streamlit as st

        from app.components.runs import ticks

        st.text(f"{ticks.set_ticked(range(1, number + 1))} {ticks.refused()}".strip())

    page = AppTest.from_function(ticking, args=(MOST_IDS,), default_timeout=300).run()
    assert page.text[0].value == "True"
    assert page.query_params["ticked"] == f"1-{MOST_IDS}"
    page = AppTest.from_function(ticking, args=(1_234,), default_timeout=300).run()
    assert page.text[0].value == "False 400 runs can be ticked at once; with that line it would be 1,234."
    assert "ticked" not in page.query_params


def test_a_tag_that_comes_twice_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawing that is cut short leaves the change of the field unseen, and it comes again with the next one."""
    given: list[object] = []

    def retag(*asked: object) -> keeping.Done:
        given.append(asked)
        return keeping.Done(sentence="Tagged.", run_ids=(1,))

    monkeypatch.setattr(keeping, "retag", retag)

    def twice() -> None:
        import streamlit as st

        from app.components.keeping import marks

        st.session_state["field"] = ["mine"]
        marks._retag("field", (1,), (), 0)
        marks._retag("field", (1,), (), 0)

    page = AppTest.from_function(twice, default_timeout=300).run()
    assert not page.exception
    assert given == [((1,), ["mine"], [])]


def test_runs_that_are_gone_are_not_ticked(computed: Computed) -> None:
    """An address may name them still: one that was kept, or that of a window in which they were not deleted."""
    page = visit("runs", ticked=f"{computed.sweep[0]}-{computed.sweep[1]},999990-999999")
    assert "2 runs ticked" in words(page)
    assert "12 runs" not in words(page)
    page = visit("runs", ticked="999990-999999")
    assert "ticked" not in words(page)
    assert [one.disabled for one in page.button if one.key in ("compare", "open_ticked")] == [True, True]


def test_a_heading_orders_figures_from_the_largest_and_words_from_a_and_turns_round() -> None:
    assert columns.sorted_by("", "gra") == "-gra"
    assert columns.sorted_by("-gra", "gra") == "gra"
    assert columns.sorted_by("gra", "gra") == "-gra"
    assert columns.sorted_by("-gra", "name") == "name"
    assert columns.sorted_by("name", "labels:mean_confidence") == "-labels:mean_confidence"


def test_an_address_is_read_as_an_order_and_a_grouping() -> None:
    plain = columns.listing_of("", "")
    assert (plain.grouping, plain.order, plain.descending) == (SETTING, NEWEST, True)
    runs = columns.listing_of("-gra", EACH_RUN)
    assert (runs.grouping, runs.order, runs.descending) == (EACH_RUN, "evaluation:gra", True)
    assert columns.listing_of("setting", "align.beta").order == "align.beta"


@pytest.mark.parametrize(
    ("key", "mean", "low", "high", "said"),
    [
        ("align.beta", 0.1, "0.1", "0.1", "0.1"),
        ("align.beta", 0.3, "0.1", "0.5", "0.1 … 0.5"),
        ("evaluation:mean_tokens", 31.25, "", "", "31.25"),
        ("labels:n", 1200.0, "", "", "1,200"),
        ("align:final_loss", -0.25, "", "", "−0.2500"),
        ("seconds", 190.0, "", "", "3 min 10 s"),
    ],
)
def test_a_cell_says_what_all_runs_share_or_their_mean(key: str, mean: float, low: str, high: str, said: str) -> None:
    assert columns.cell(key, Figure(runs=2, numbers=2, mean=mean, sd=0.1, low=low, high=high)) == said
    assert columns.cell(key, None) == "–"


def test_how_often_a_judge_agrees_with_people_is_a_column_that_can_be_chosen() -> None:
    """As every figure of a stage, under a name that says what it is; the columns of a list are without it."""
    known = ["card@trained:q", "card@judge.gpt-4-a1b2c3:q", "card@trained:pairs"]
    assert set(known) <= set(columns.offered(known))
    assert [columns.column(key).label for key in known[:2]] == [
        "agrees with people · trained", "agrees with people · gpt-4-a1b2c3",
    ]  # fmt: skip
    assert columns.name_of(known[0]) == "agrees with people · trained"
    assert "chose what people chose" in columns.column(known[0]).help
    assert columns.name_of(known[2]) == "Judge card · trained: pairs"
    assert not any(key in shown for shown in columns.USUAL.values() for key in known)


def test_no_two_columns_of_a_list_have_one_heading() -> None:
    shown = columns.chosen("", ("gra", "evaluation:gra", "kl", "evaluation:kl", "name", "align.beta", "align.beta"))
    assert [one.key for one in shown] == ["setting", "gra", "kl", "name", "align.beta"]


def test_under_a_value_of_a_field_only_what_its_line_says_is_a_column() -> None:
    """A value has the runs of many names, models and owners."""
    line = Line(
        key="cw", value="cw", newest=1, run_ids=(1,), statuses={"done": 1}, seeds=(0,), settings=1, rows=(), figures={}
    )
    (shown,) = table.value_lines([line], {}, {})
    offered = columns.offered(["name", "align.beta"], "method")
    assert {columns.column(key).label for key in offered} - {"align.beta"} == set(shown.cells)
    assert [one.key for one in columns.chosen("method", ("name", "gra", "updated"))] == ["setting", "gra"]
    assert columns.chosen("method", ("owner",)) == columns.chosen("method", ())
    for group in (SETTING, EACH_RUN):
        assert set(columns.BUILT_IN) <= set(columns.offered([], group))
        assert [one.key for one in columns.chosen(group, ("owner",))] == ["setting", "owner"]


@pytest.mark.parametrize("group", ["", EACH_RUN, "method"])
def test_a_list_with_a_pinned_and_a_tagged_run_has_the_columns_that_were_chosen(group: str, empty: None) -> None:
    """As addresses and views of before name them; what has the name of the buttons' column is none."""
    pinned, tagged, _ = (api.submit_run(RunConfig.parse({"method": one})).run_id for one in ("weak", "human", "cw"))
    keeping.pin([pinned])
    keeping.tag([tagged], "later")
    page = visit("runs", group=group, sort="tags", columns="gra,tags,open")
    found = page.dataframe[0].value
    assert list(found)[2:] == ["GRA, %", "tags"]
    assert list(found["tags"]) == ["pinned", "later", ""]
    turned = visit("runs", group=group, sort="-tags", columns="tags").dataframe[0].value
    assert list(turned["tags"]) == ["later", "pinned", ""]
    assert list(visit("runs", group=group, columns="gra").dataframe[0].value)[2:] == ["GRA, %"]
    page = visit("runs", group=group)
    assert list(page.dataframe[0].value)[-1] == "tags"  # usual, where anything stands in it
    next(one for one in page.multiselect if one.label == "Columns, in their order").select("align.beta").run()
    assert not page.exception
    assert list(page.dataframe[0].value)[-2:] == ["tags", "align.beta"]


def test_values_of_what_is_called_as_the_column_of_buttons_have_another_heading(empty: None) -> None:
    api.submit_run(RunConfig())
    assert list(visit("runs", group="open").dataframe[0].value)[:2] == ["open", "value"]


def test_a_run_that_goes_on_says_how_many_of_its_stages_are_done(computed: Computed) -> None:
    row = replace(computed.rows()[0], status="running", stages=13, stages_done=3, current_slot="align")
    (line,) = table.run_lines([row], {}, {})
    assert line.cells["status"] == "running 3/13"


def test_lines_by_a_field_are_means_over_its_runs_in_the_order_asked_for(computed: Computed) -> None:
    gras: dict[str, list[float]] = {}
    for row in computed.rows():
        assert row.evaluation is not None
        gras.setdefault(row.method, []).append(row.evaluation.gra)
    page = visit("runs", group="method", sort="-gra", status=["done"], columns="gra,evaluation:mean_tokens")
    table = page.dataframe[0].value
    means = {method: statistics.fmean(values) for method, values in gras.items()}
    assert list(table["method"]) == sorted(means, key=lambda method: -round(means[method], 9))
    assert list(table["GRA, %"]) == [f"{100 * means[method]:.1f}" for method in table["method"]]
    assert all(float(tokens) > 0 for tokens in table["tokens"])
    alone = visit("runs", group="none", sort="seed", status=["done"], columns="seed").dataframe[0].value
    assert list(alone["seed"]) == ["0"] * 4 + ["1"] * 4
