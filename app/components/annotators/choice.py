"""Which annotator is looked at, and whose labels judge it; both choices go to the address."""

from collections.abc import Sequence

import streamlit as st

from app import untrusted
from app.components.frame import layout
from app.components.frame.address import JUDGES, AnnotatorsView, Judge
from app.components.frame.formats import dataset_name, share
from cwpo.report.labels.annotators import annotator_name
from db.records import AnnotatorRow, LabelSummary


def choose_annotator(rows: Sequence[AnnotatorRow], chosen: AnnotatorRow) -> None:
    """Newest first; the accuracy stands beside the name."""
    names = {row.stage_id: _name(row) for row in rows}
    key = f"annotator_{chosen.stage_id}"
    st.selectbox(
        "Annotator",
        list(names),
        index=list(names).index(chosen.stage_id),
        format_func=lambda stage_id: names[stage_id],
        key=key,
        label_visibility="collapsed",
        on_change=lambda: layout.set_params(annotator=str(st.session_state[key])),
    )


def choose_judge(summary: LabelSummary) -> Judge:
    """Human labels, or the truth where the sandbox knows it."""
    if summary.truth is None:
        return "human"
    st.segmented_control(
        "Judged by",
        list(JUDGES.values()),
        default=JUDGES["human"],
        key="judge",
        bind="query-params",
        required=True,
        label_visibility="collapsed",
    )
    return AnnotatorsView.from_params({"judge": st.session_state["judge"]}).judge


def _name(row: AnnotatorRow) -> str:
    words = f"{annotator_name(row)} · {dataset_name(row.dataset)} · {share(row.label_fraction)}"
    return untrusted.plain(words, 90)
