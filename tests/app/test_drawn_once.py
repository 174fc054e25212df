"""What a page that is drawn again has already: tables, the work of finished stages, the words of the sandbox."""

import gc
from typing import Any

import pandas as pd
import pytest
import streamlit as st
from streamlit.elements import table as streamlit_table
from streamlit.testing.v1 import AppTest

from app import heap
from cwpo.sandbox import lexicon
from db import queries
from tests.app.visits import Computed, visit


def two_tables(first: str) -> None:
    from app.components.frame.tables import Cell, Column, show

    columns = (Column(label="name", whole=True), Column(label="share", figures=True))
    show(columns, [(first, Cell(text="60 %", strong=True)), ("cw", None)], alt="one")
    show(columns, [("cw", "70 %")], alt="another")


def test_a_table_that_was_drawn_is_sent_again_and_another_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever session it is in; what differs in one cell is another table."""
    laid_out: list[Any] = []
    lay_out = streamlit_table.marshall_table
    monkeypatch.setattr(streamlit_table, "marshall_table", lambda *given: (laid_out.append(given), lay_out(*given))[-1])
    st.cache_data.clear()
    first = AppTest.from_function(two_tables, args=("weak",)).run()
    assert not first.exception
    assert len(laid_out) == 2
    again = AppTest.from_function(two_tables, args=("weak",)).run()
    assert len(laid_out) == 2
    assert [one.proto for one in again.table] == [one.proto for one in first.table]
    assert [list(one.value.iloc[0]) for one in again.table] == [["weak", "60\u00a0\\%"], ["cw", "70\u00a0\\%"]]
    changed = AppTest.from_function(two_tables, args=("human",)).run()
    assert len(laid_out) == 3
    assert changed.table[0].value.iloc[0, 0] == "human"
    names = [one.proto.arrow_data.styler.uuid for one in (*first.table, *changed.table)]
    assert len(set(names)) == 3


def test_what_is_loaded_is_set_apart_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Streamlit looks for garbage behind each run of the script, and nowhere else."""
    frozen: list[None] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(None))
    wanted = False
    monkeypatch.setattr(st, "get_option", lambda name: wanted and name == "runner.postScriptGC")
    heap._freeze.cache_clear()
    try:
        heap.settle()
        assert frozen == []
        wanted = True
        heap.settle()
        heap.settle()
        assert frozen == [None]
    finally:
        heap._freeze.cache_clear()


def test_the_words_of_the_sandbox_are_put_together_once() -> None:
    assert lexicon.words() is lexicon.words()


def test_the_points_of_all_curves_are_told_apart_in_one_go(computed: Computed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chart looks through the points of its own curves alone."""
    tables: list[int] = []
    compared: list[int] = []
    read, equal = queries.metrics, pd.Series.__eq__

    def noted(*given: Any, **named: Any) -> pd.DataFrame:
        table = read(*given, **named)
        tables.append(len(table))
        return table

    def counted(series: pd.Series, other: Any) -> Any:
        if series.name in ("stage_id", "name"):
            compared.append(len(series))
        return equal(series, other)

    monkeypatch.setattr(queries, "metrics", noted)
    monkeypatch.setattr(pd.Series, "__eq__", counted)
    page = visit("run", run=computed.sweep[4], tab="Log")
    assert any("Is the loss falling" in one.value for one in page.markdown)
    assert compared
    assert max(compared) < max(tables)
