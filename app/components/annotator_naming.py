"""Run page: name the annotator that a run trained, and label a file with it."""

import streamlit as st

from app import reads
from app.components import layout
from app.components.annotator_words import provenance
from db import queries
from db.errors import DatabaseError
from db.records import StageRow
from db.status import DONE
from workers import api

SLOT = "annotator"
WHY = "A named annotator can label for other runs, also on other data and for other policies, and outlives its run."
FILES = (
    "Labels a JSONL, Parquet or CSV file of prompts with two responses on this machine; chosen, rejected, margin, "
    "confidence and weight come out, readable by TRL and datasets. It can be stopped and goes on where it was."
)


def show_annotator(run_id: int, stages: list[StageRow]) -> None:
    """Its names, a form for another, and the command that labels a file."""
    mine = next((stage for stage in stages if stage.slot == SLOT), None)
    if mine is None or mine.status != DONE or mine.kind != SLOT:
        layout.empty_state("The annotator of this run can be named and used elsewhere once it is trained.")
        return
    with reads.reading() as session:
        rows = queries.named_annotators(session, stage_id=mine.stage_id)
    for row in rows:
        layout.small(row.key)
        layout.note(provenance(row))
    layout.small("Name this annotator" if not rows else "Give it another name")
    layout.note(WHY)
    _form(run_id)
    layout.small("Label a file with it")
    layout.note(FILES)
    st.code(f"cwpo label {rows[0].key if rows else mine.fingerprint} FILE", language=None)


def _form(run_id: int) -> None:
    with st.form("name_annotator", border=False):
        left, right = st.columns([2, 3])
        name = left.text_input("Name", max_chars=63, placeholder="helpful-30")
        note = right.text_input("Note", max_chars=300, placeholder="what to remember of it")
        if not st.form_submit_button("Name it", key="name_it"):
            return
    try:
        version = api.name_annotator(run_id, name, note)
    except DatabaseError as error:
        layout.problem(error)
        return
    layout.flash(f"It is {name.strip()}@{version} now.")
    st.rerun()
