"""One annotated pair: prompt, both responses side by side, what the annotator says, the human label on demand."""

import streamlit as st

from app import untrusted
from app.components.frame import text_blocks
from app.components.frame.address import ExamplesView
from app.components.frame.leaving import link
from cwpo.report.numbers import number
from db.records import AnnotationRow

SIDES = (("A", "a"), ("B", "b"))


def show_pair(row: AnnotationRow, *, several: str = "", linked: bool = True) -> None:
    """The card. `several`: over which annotators or passes the SD of Δ is taken; `linked` adds the address of this
    pair alone."""
    with st.container(border=True):
        _headline(row, several, linked)
        text_blocks.show_text(row.prompt, key=f"prompt_{row.id}")
        for column, (name, side) in zip(st.columns(2, gap="small"), SIDES, strict=True):
            with column:
                _response(row, name, side)


def probability(confidence: float) -> float:
    """P(the weak label is right) as the annotator states it: (1 + C)/2."""
    return (1 + confidence) / 2


def human_sentence(row: AnnotationRow) -> str:
    """What the humans chose, and the truth where it is known."""
    if row.human_label is None:
        words = "no human label"
    else:
        verdict = "agrees" if row.human_label == row.label else "disagrees"
        words = f"human chose {row.human_label.upper()}, {verdict}"
    return words if row.true_label is None else f"{words} · truth {row.true_label.upper()}"


def disagreement(row: AnnotationRow, several: str) -> str:
    """What the headline adds where there were several: SD of Δ over 4 annotators 0.420."""
    if row.spread is None:
        return ""
    return f" · SD of Δ{f' over {several}' if several else ''} {number(row.spread, 3)}"


def _headline(row: AnnotationRow, several: str, linked: bool) -> None:
    left, right = st.columns([5, 3], vertical_alignment="center")
    with left:
        st.markdown(
            f"**pair {untrusted.label(row.pair_id[:8])}** · C {row.confidence:.3f} · Δ {number(row.margin, 3)}"
            f" · P {probability(row.confidence):.3f}{disagreement(row, several)}"
        )
    with right, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        if st.session_state.get("human"):
            st.caption(human_sentence(row), width="content")
        else:
            shown = st.session_state.get(f"human_{row.id}", False)
            st.toggle("human label", key=f"human_{row.id}")
            if shown:
                st.caption(human_sentence(row), width="content")
        if linked:
            human = bool(st.session_state.get("human"))
            link(ExamplesView(run=row.run_id, pair=row.pair_id, human=human), "link", aside=True)


def _response(row: AnnotationRow, name: str, side: str) -> None:
    text = row.response_a if side == "a" else row.response_b
    score = row.score_a if side == "a" else row.score_b
    label = "weak label: chosen" if row.label == side else "rejected"
    st.caption(f"{name} · {label} · score {number(score)} · {len(text):,} characters")
    text_blocks.show_block(text, key=f"response_{row.id}_{side}")
