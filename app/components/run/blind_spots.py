"""Where is the policy confident and wrong? A folded section of a run with an annotator, computed on demand."""

import streamlit as st

from app import allowed
from app.components.frame import layout, tables
from app.components.frame.chart import show_chart
from app.components.frame.export import of_columns, show_export
from app.reads import results
from cwpo.errors import CwpoError
from cwpo.report.document.meanings import glossary
from cwpo.report.labels.spots import SPOTS, spots_in_words
from db.errors import DatabaseError
from db.records import RunRow
from db.status import LIVE
from workers import api
from workers.api.people.access import Role

TITLE = "Where is the policy confident and wrong?"
HOW = (
    "Against the human labels of the pairs that the policy was aligned on. The policy prefers the answer with the "
    "larger implicit reward β log(π/π_ref), and is confident where that gives it a chance of 75 % or more, as an "
    "annotator with C ≥ 0.5; before alignment the answer with the larger log-probability by token counts as preferred. "
    "Intervals are over prompts."
)


def show_blind_spots(row: RunRow) -> None:
    """Nothing for a run without an annotator; nothing is read before it is opened."""
    if row.evaluation is None or row.annotator is None:
        return
    folded = st.expander(TITLE, key="blind_spots", on_change="rerun")
    if not folded.open:
        return
    with folded:
        found = results.blind_spots_of(row.id)
        if found is None:
            layout.note("Not looked for yet: it takes one pass of the aligned policy over the pairs.")
            _look(row)
            return
        layout.note(spots_in_words(found))
        if not found:
            return
        show_chart("blind_spots", found, key="chart_of_spots", alt=TITLE)
        layout.small("Shares by confidence", meanings=glossary(SPOTS))
        tables.show_report(SPOTS, found, alt="Blind spots by confidence")
        layout.note(HOW)
        show_export([of_columns("blind spots", SPOTS, found, notes=[HOW])], key="export_spots")


def _look(row: RunRow) -> None:
    reason = "The run is queued or running." if row.status in LIVE else None
    off = allowed.only_for(Role.RUNNER, disabled=reason is not None, about=reason)
    if st.button("Look for blind spots", key="look_for_spots", **off):
        try:
            api.look_for_blind_spots([row.id])
        except (CwpoError, DatabaseError) as error:
            layout.problem(error)
            return
        layout.flash("Queued: one pass of the aligned policy over the pairs; nothing is trained again.")
        st.rerun()
