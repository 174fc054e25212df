"""What a page that is drawn again has already: tables, the work of finished stages, the words of the sandbox."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import streamlit as st
from streamlit.elements import table as streamlit_table
from streamlit.testing.v1 import AppTest

from cwpo.sandbox import lexicon
from db import queries
from tests.app.visits import Computed, visit

ROOT = Path(__file__).resolve().parents[2]


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


def test_a_server_looks_for_garbage_now_and_then_and_not_behind_every_page() -> None:
    """In a fresh interpreter: what is there at the first page is set apart once, a search follows only where a page was
    drawn, and Streamlit makes none of its own."""
    script = (
        "import gc, time\nfrom streamlit import config\nfrom app import heap\nfound = []\n"
        "def note(when, said):\n    if when == 'stop' and said['generation'] == 2: found.append(when)\n"
        "gc.callbacks.append(note)\n"
        "gc.disable()\nheap.EVERY = 0.2\nheap.tidy()\ntime.sleep(1)\nbefore = (len(found), gc.get_freeze_count())\n"
        "def drawn(count):\n"
        "    heap.settle()\n    until = time.monotonic() + 60\n"
        "    while len(found) < count and time.monotonic() < until: time.sleep(0.05)\n"
        "    time.sleep(1)\n    return len(found), gc.get_freeze_count() > 10_000\n"
        "print(before, drawn(1), drawn(2), config.get_option('runner.postScriptGC'))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.stdout.split("\n")[-2] == "(0, 0) (1, True) (2, True) False", done.stderr[-2000:]


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
