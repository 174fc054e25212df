"""Answers of one run to the held-out prompts, aligned | baseline, page by page."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components.frame import layout
from app.components.frame.formats import counted
from app.components.run.answer_card import show_answers
from app.reads import results
from db import queries
from db.records import Cursor

PAGE = 10
ORDERS = {"prompt": "by prompt", "worst": "lost first", "best": "won first"}


@layout.fragment
def show_answer_list(run_id: int) -> None:
    """The list; the place in it is kept in the address."""
    bar = st.container(horizontal=True, vertical_alignment="center")
    order = _order(bar)
    place = str(st.query_params.get("answers_after", ""))
    after = Cursor.decode(place, value=None if order == "prompt" else float, key=str)
    with results.reading() as session:
        page = queries.answers(session, run_id, order=order, after=after, limit=PAGE)
    if not page.rows:
        layout.empty_state("The aligned and the baseline model's answers appear here once both have answered.")
        return
    words = f"{counted(page.total, 'held-out prompt')}; the gold reward's score decides each"
    bar.caption(words, width="content")
    for row in page.rows:
        show_answers(row)
    with st.container(horizontal=True):
        if after is not None:
            layout.turn("First page", "answers_first", answers_after="")
        if page.next is not None:
            layout.turn("Next prompts", "answers_next", answers_after=page.next.encode())


def _order(bar: DeltaGenerator) -> str:
    """Which prompts come first; bound to the address."""
    chosen = bar.segmented_control(
        "Order", list(ORDERS), key="answers", default="prompt", format_func=lambda name: ORDERS[name],
        required=True, label_visibility="collapsed", bind="query-params", on_change=_first_page,
    )  # fmt: skip
    return chosen or "prompt"


def _first_page() -> None:
    st.query_params.pop("answers_after", None)
