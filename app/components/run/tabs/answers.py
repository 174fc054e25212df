"""Answers of one run to the held-out prompts, aligned | baseline, page by page: searched, ordered, compared."""

from collections.abc import Sequence

import streamlit as st

from app.components.frame import layout
from app.components.frame.formats import GAVE_UP, counted
from app.components.frame.leaving import parameters, readdress
from app.components.run.tabs.answer_card import show_answers
from app.reads import results
from app.reads.run import Once
from cwpo.report.numbers import count
from db import queries
from db.records import AnswerPage, Cursor, StageRow

PAGE = 10
PLACES = ("answers_after", "answers_before")  # in the address
ORDERS = {"prompt": "by prompt", "worst": "worst first", "best": "best first", "change": "largest change"}
ABOUT_ORDERS = (
    "By the gold score of the aligned answer minus that of the baseline's: the largest loss, the largest gain, or the "
    "largest of either."
)
WORDS = "Search in prompts and answers"


@layout.fragment
def show_answer_list(run_id: int, status: str, first: Once[Sequence[StageRow]]) -> None:
    """The list; search, order and the place in it are kept in the address."""
    with st.container(horizontal=True, vertical_alignment="center"):
        text = _search()
        order = _order()
        compare = st.toggle("Mark differences", key="answers_diff", bind="query-params",
                            help="Words that only this side has stand out.")  # fmt: skip
    after, before = (_cursor(name, order) for name in PLACES)
    with results.reading() as session:
        page = queries.answers(
            session, run_id, order=order, text=text, after=after, before=before, limit=PAGE, stages=first.take() or ()
        )
    if not page.prompts:
        layout.empty_state(
            f"This run {GAVE_UP[status]} before the aligned and the baseline model had both answered. A retry goes on."
            if status in GAVE_UP
            else "The aligned and the baseline model's answers appear here once both have answered."
        )
        return
    layout.note(_counts(page, text))
    for row in page.rows:
        show_answers(row, compare=compare)
    with st.container(horizontal=True, vertical_alignment="center"):
        layout.turns(page.next, page.previous, placed=bool(after or before), prefix="answers_")
        if page.rows:
            st.caption(_place(page))


def _counts(page: AnswerPage, text: str) -> str:
    """3 of 200 prompts hold “tea”: better at 2, worse at 1."""
    found = f"{count(page.total)} of {counted(page.prompts, 'held-out prompt')}"
    words = (
        f"{found} with “{text.strip()}” in prompt or answer"
        if text.strip()
        else counted(page.prompts, "held-out prompt")
    )
    if page.better is None or page.worse is None:
        return f"{words}; the gold reward has not scored both sides yet."
    equal = page.total - page.better - page.worse
    return (
        f"{words}: by its gold score the aligned answer is better at {count(page.better)}, equal at {count(equal)} and "
        f"worse at {count(page.worse)}."
    )


def _place(page: AnswerPage) -> str:
    """11–20 of 200."""
    return layout.span(page.first, len(page.rows), count(page.total))


def _search() -> str:
    """What is searched for; bound to the address."""
    return st.text_input(
        "Search", key="answers_text", placeholder=WORDS, bind="query-params", on_change=_first_page,
        label_visibility="collapsed", width=280,
    ) or ""  # fmt: skip


def _order() -> str:
    """Which prompts come first; bound to the address."""
    chosen = st.segmented_control(
        "Order", list(ORDERS), key="answers", default="prompt", format_func=lambda name: ORDERS[name],
        required=True, label_visibility="collapsed", bind="query-params", on_change=_first_page, help=ABOUT_ORDERS,
    )  # fmt: skip
    return chosen or "prompt"


def _cursor(name: str, order: str) -> Cursor | None:
    place = str(st.query_params.get(name, ""))
    return Cursor.decode(place, value=None if order == "prompt" else float, key=str)


def _first_page() -> None:
    now = parameters()
    if any(name in now for name in PLACES):
        readdress({name: now[name] for name in now if name not in PLACES}, instead=True)
