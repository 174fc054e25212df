"""Further questions to the same answers: another gold reward, head to head, cost; only the open tab is drawn."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from app.components.compare.costs import show_costs
from app.components.compare.gold import show_gold
from app.components.compare.pair import show_pair
from app.components.frame import layout
from cwpo.compare.gra import DifferenceRow, GraRow
from db.records import RunRow


@layout.fragment
def show_further(rows: Sequence[RunRow], table: Sequence[GraRow], differences: Sequence[DifferenceRow]) -> None:
    """Three tabs; the open one stands in the address."""
    evaluated = [row for row in rows if row.evaluation is not None]
    parts: Mapping[str, Callable[[], None]] = {
        "Another gold reward": lambda: show_gold(evaluated),
        "Head to head": lambda: show_pair(evaluated, table, differences),
        "Cost": lambda: show_costs(evaluated, table),
    }
    for tab, show in zip(st.tabs(list(parts), key="further", bind="query-params"), parts.values(), strict=True):
        if tab.open:
            with tab:
                show()
