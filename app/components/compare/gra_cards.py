"""The answer in large figures: GRA of each setting with its interval."""

from collections.abc import Sequence

import streamlit as st

from app import untrusted
from cwpo.compare.gra import GraRow
from cwpo.report.numbers import interval, percent

PER_LINE = 7


def show_gra_cards(rows: Sequence[GraRow]) -> None:
    """At most one line of settings; the table below has them all."""
    shown = rows[:PER_LINE]
    grid = st.grid(max(4, len(shown)), min_column_width=110)
    for row in shown:
        with grid.cell(), st.container(gap="xxsmall"):
            st.metric(untrusted.label(row.label), percent(row.estimate))
            st.caption(f"95 % {interval(row.low, row.high)}")
