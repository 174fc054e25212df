"""Examples, the other part: pairs with a human label that the annotator did not label."""

from functools import partial

import streamlit as st

from app import untrusted
from app.components.examples.counting import MOST, show_count
from app.components.examples.exporting import show_export
from app.components.frame import layout, text_blocks
from app.components.frame.address import ExamplesView
from app.components.frame.filters import page_size
from app.components.frame.formats import counted
from app.reads import results
from cwpo.config.run import digest
from db import queries
from db.records import Cursor, LabeledPage, LabeledRow

WHAT = (
    "Pairs with a human label and without a weak one: what the annotator learned from, and what is in neither part. "
    "They stand in a random order that stays the same."
)


def show_labeled(view: ExamplesView) -> None:
    """A page of them."""
    if view.run is None:
        return
    layout.note(WHAT)
    bar = st.container(horizontal=True, vertical_alignment="center", key="pages_of_pairs")
    with bar:
        place = st.empty()
        size = page_size()
    with results.reading() as session:
        total = queries.count_labeled(session, view.run)
        found = queries.labeled_pairs(
            session, view.run, text=view.q, after=_cursor(view.after), before=_cursor(view.before), limit=size
        )
    place.caption(_counted(found, total, searched=bool(view.q.strip())))
    with bar:
        forward = "Next" if len(found.rows) == size else "Search further"
        layout.turns(found.next, found.previous, placed=bool(view.after or view.before), forward=forward)
        if view.q.strip():
            show_count(partial(_holding, view))
        show_export(view, found.rows, None if view.q.strip() else total)
    with st.container(key=f"pairs-{digest(repr((view, size)))[:8]}"):
        for row in found.rows:
            _card(row)
        if not found.rows:
            layout.nothing_fits("No pair is here.", "Show all pairs", {"text": "", "part": "weak"})


def _holding(view: ExamplesView) -> tuple[int, int]:
    with results.reading() as session:
        return queries.count_labeled_matching(session, view.run or 0, text=view.q, most=MOST)


def _cursor(word: str) -> Cursor | None:
    return Cursor.decode(word, value=str, key=int)


def _counted(found: LabeledPage, total: int | None, *, searched: bool) -> str:
    """41–50 of 2,100 pairs."""
    if searched:
        return "pairs with this text"
    if total is None:
        return ""
    pairs = counted(total, "pair")
    return layout.span(found.first, len(found.rows), pairs) if found.first and found.rows else pairs


def _card(row: LabeledRow) -> None:
    with st.container(border=True):
        truth = "" if row.true_label is None else f" · truth {row.true_label.upper()}"
        st.markdown(f"**pair {untrusted.label(row.pair_id[:8])}** · human label {str(row.human_label).upper()}{truth}")
        text_blocks.show_text(row.prompt, key=f"prompt_{row.pair_id}")
        for column, side, text in zip(st.columns(2, gap="small"), "ab", (row.response_a, row.response_b), strict=True):
            with column:
                word = "human label: chosen" if row.human_label == side else "rejected"
                st.caption(f"{side.upper()} · {word} · {len(text):,} characters")
                text_blocks.show_block(text, key=f"response_{row.pair_id}_{side}")
