"""Annotators page: name the annotator that a run trained, and label a file with it."""

import streamlit as st

from app import reads
from app.components import layout
from app.components.annotator_words import provenance
from db import queries
from db.errors import DatabaseError
from db.status import DONE
from workers import api

SLOT = "annotator"
WHY = "A named annotator can label for other runs, also on other data and for other policies, and outlives its run."
NOT_ONE = "These labels come from an ensemble, an implicit reward or another run's annotator, which get no name here."
FILES = (
    "Labels a JSONL, Parquet or CSV file of prompts with two responses on this machine; chosen, rejected, margin, "
    "confidence and weight come out, readable by TRL and datasets. It can be stopped and goes on where it was."
)


def show_naming(run_id: int) -> None:
    """Its names, a form for another, and the command that labels a file."""
    layout.section("Use it elsewhere", WHY)
    with reads.reading() as session:
        stages = {stage.slot: stage for stage in queries.run_stages(session, run_id)}
        mine = stages.get(SLOT)
        rows = queries.named_annotators(session, stage_id=mine.stage_id) if mine else []
    if mine is None or mine.status != DONE or mine.kind != SLOT or f"{SLOT}_2" in stages:
        layout.note(NOT_ONE)
        return
    for row in rows:
        layout.note(f"{row.key}: {provenance(row)}")
    _form(run_id)
    layout.note(FILES)
    st.code(f"cwpo label {rows[0].key if rows else mine.fingerprint} FILE", language=None)


def _form(run_id: int) -> None:
    with st.form("name_annotator", border=False):
        left, right = st.columns([2, 3])
        name = left.text_input("Name", max_chars=63, placeholder="helpful-30", key="annotator_name")
        note = right.text_input("Note", max_chars=300, placeholder="what to remember of it", key="annotator_note")
        if not st.form_submit_button("Name it", key="name_it"):
            return
    try:
        version = api.name_annotator(run_id, name, note)
    except DatabaseError as error:
        layout.problem(error)
        return
    layout.flash(f"It is {name.strip()}@{version} now.")
    st.rerun()
