"""Why, and further questions to the same answers; only the open tab is drawn and asks the database."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from app.components.compare.answers import show_same_prompt
from app.components.compare.configurations import show_configurations
from app.components.compare.costs import show_costs
from app.components.compare.evidence import show_annotators, show_curves
from app.components.compare.gold import show_gold
from app.components.compare.pair import show_pair
from app.components.frame import layout
from app.components.frame.address import CompareView
from app.components.judging.judge_model import show_judge_models
from cwpo.compare.gra import DifferenceRow, GraRow
from db.records import RunRow


@layout.fragment
def show_further(
    rows: Sequence[RunRow],
    table: Sequence[GraRow],
    differences: Sequence[DifferenceRow],
    reference: str,
    view: CompareView,
) -> None:
    """The open tab stands in the address."""
    evaluated = [row for row in rows if row.evaluation is not None]
    parts: dict[str, Callable[[], None]] = {
        "Configuration": lambda: show_configurations(rows, table, reference),
        "Annotators": lambda: show_annotators(rows),
        "Curves": lambda: show_curves(rows),
        "Answers": lambda: show_same_prompt(rows, view),
    }
    judged: Mapping[str, Callable[[], None]] = {
        "Another gold reward": lambda: show_gold(evaluated),
        "Judge model": lambda: show_judge_models(evaluated, reference),
        "Head to head": lambda: show_pair(evaluated, table, differences),
        "Cost": lambda: show_costs(evaluated, table),
    }
    if table:
        parts |= judged
    for tab, show in zip(st.tabs(list(parts), key="further", bind="query-params"), parts.values(), strict=True):
        if tab.open:
            with tab:
                show()
