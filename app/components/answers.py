"""Answers of one run to the held-out prompts, aligned | baseline, page by page."""

import streamlit as st

from app import reads
from app.components import layout
from app.components.answer_card import show_answers
from app.components.formats import counted
from db import queries
from db.records import Cursor

PAGE = 10
ORDERS = {"prompt": "by prompt", "worst": "lost first", "best": "won first"}


@st.fragment
def show_answer_list(run_id: int) -> None:
    """The list; the place in it is kept in the address."""
    after = Cursor.decode(str(st.query_params.get("answers_after", "")))
    order = str(st.query_params.get("answers", "prompt"))
    order = order if order in ORDERS else "prompt"
    with reads.reading() as session:
        page = queries.answers(session, run_id, order=order, after=after, limit=PAGE)
    if not page.rows:
        layout.empty_state("The aligned and the baseline model's answers appear here once both have answered.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.segmented_control(
            "Order", list(ORDERS), key="answers", default="prompt", format_func=lambda name: ORDERS[name],
            required=True, label_visibility="collapsed", bind="query-params", on_change=_first_page,
        )  # fmt: skip
        st.caption(f"{counted(page.total, 'held-out prompt')}; the gold reward's score decides each", width="content")
    for row in page.rows:
        show_answers(row)
    with st.container(horizontal=True):
        if after is not None and st.button("First page", key="answers_first"):
            st.query_params.pop("answers_after", None)
            st.rerun(scope="fragment")
        if page.next is not None and st.button("Next prompts", key="answers_next"):
            st.query_params["answers_after"] = page.next.encode()
            st.rerun(scope="fragment")


def _first_page() -> None:
    st.query_params.pop("answers_after", None)
