"""Examples: to a confidence by number, and to a range of it by a click on its bar."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from app.components.frame import layout
from app.components.frame.address import ExamplesView
from app.components.frame.leaving import leave
from db.records import Cursor

JUMP, HISTOGRAM = "jump_to", "histogram"
LAST_ID = 2**62  # behind every pair of the same confidence
UPWARDS = ("lowest",)
BY_SPREAD = ("unsure",)


def show_jump(view: ExamplesView) -> None:
    """Go on from the first pair at this confidence; what is in front stays in the list."""
    if view.order in BY_SPREAD:
        return
    st.number_input(
        "Jump to C", 0.0, 1.0, value=None, step=0.05, key=JUMP, on_change=_jump, args=(view.order in UPWARDS,),
        placeholder="0.50", help="The list goes on from there; Previous leads to the pairs in front.",
    )  # fmt: skip


def _jump(upwards: bool) -> None:
    wanted = st.session_state.get(JUMP)
    if wanted is None:
        return
    st.session_state[JUMP] = None
    layout.set_params(after=Cursor(value=float(wanted), id=0 if upwards else LAST_ID).encode(), before="")


def choose_bar(edges: Sequence[float]) -> None:
    """The pairs of the bar that was clicked; a second click shows all again."""
    chosen: Any = st.session_state.get(HISTOGRAM)
    points = chosen.selection.points if chosen is not None else []
    low, high = range_of(points[0]["x"], edges) if points else (0.0, 1.0)
    now = ExamplesView.from_params(st.query_params)
    leave(replace(now, low=low, high=high, after="", before=""))


def range_of(centre: float, edges: Sequence[float]) -> tuple[float, float]:
    """The edges on both sides of a bar's middle, as the slider has them."""
    low = max((edge for edge in edges if edge <= centre), default=0.0)
    high = min((edge for edge in edges if edge > centre), default=1.0)
    return round(low, 2), round(high, 2)
