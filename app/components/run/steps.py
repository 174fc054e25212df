"""Which steps of the curves are shown: as written, or as dragged over in one of them."""

import math
import re
from typing import Any

import streamlit as st

from app.components.frame import layout

KEY = "curve_steps"  # as below, and in the address
TWO = re.compile(r"\s*(\d{1,9})\s*(?:-|–|:|to|\s)\s*(\d{1,9})\s*")  # what a database can count


def choose_steps() -> tuple[int, int] | None:
    """The field; None for all steps."""
    text = st.text_input(
        "Steps", key="curve_steps", bind="query-params", placeholder="all", width=96, max_chars=30,
        help="Drag over a curve to see these steps alone, or write them, such as 10-40; empty for all. A curve without "
        "any of them is shown whole.",
    )  # fmt: skip
    if not (text or "").strip():
        return None
    st.button("All steps", key="curve_all_steps", on_click=show_all)
    steps = steps_of(text)
    if steps is None:
        layout.problem("Steps: write the first and the last one, such as 10-40.")
    return steps


def show_all() -> None:
    st.session_state[KEY] = ""


def steps_of(text: str) -> tuple[int, int] | None:
    """The first and the last step that a text names; None where it does not name two, the first one before the last."""
    found = TWO.fullmatch(text)
    first, last = (int(number) for number in found.groups()) if found else (0, 0)
    return (first, last) if first < last else None


def dragged(key: str) -> None:
    """The steps that were dragged over in the chart of this key."""
    chosen: Any = st.session_state.get(key)
    boxes = chosen.selection.box if chosen is not None else []
    if boxes:
        ends = sorted(float(end) for end in boxes[0]["x"])
        st.session_state[KEY] = f"{max(0, math.floor(ends[0]))}-{math.ceil(ends[-1])}"
