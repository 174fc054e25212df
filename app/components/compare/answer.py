"""The answer: the verdict as a headline, and GRA of the settings in large figures with their intervals."""

from collections.abc import Sequence

import streamlit as st

from app import untrusted
from app.components.frame import layout
from cwpo.compare.gra import GraRow
from cwpo.report.numbers import interval, percent
from cwpo.report.verdict import Verdict

PER_LINE = 7
LONGEST, LONGEST_CAVEATS = 600, 1_600  # characters


def show_verdict(found: Verdict) -> None:
    """One sentence in large ink; what must be known before it is believed stands under it."""
    st.header(untrusted.label(found.headline, LONGEST), anchor=False)
    if found.caveats:
        st.caption(untrusted.label(" ".join(found.caveats), LONGEST_CAVEATS))


def show_gra_cards(rows: Sequence[GraRow], reference: str) -> None:
    """One line of settings; of more than fit the best and the reference. The table has them all."""
    shown = _kept(rows, reference)
    grid = st.grid(max(4, len(shown)), min_column_width=110)
    for row in shown:
        with grid.cell(), st.container(gap="xxsmall"):
            st.metric(untrusted.label(row.label), percent(row.estimate))
            st.caption(f"95 % {interval(row.low, row.high)}")
    if len(shown) < len(rows):
        layout.note(f"The reference and the {len(shown) - 1} highest of {len(rows)} settings; the table has them all.")


def _kept(rows: Sequence[GraRow], reference: str) -> list[GraRow]:
    """In the order of the table."""
    if len(rows) <= PER_LINE:
        return list(rows)
    ranked = sorted(rows, key=lambda row: (row.group_key != reference, -row.estimate))
    kept = {row.group_key for row in ranked[:PER_LINE]}
    return [row for row in rows if row.group_key in kept]
