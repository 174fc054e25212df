"""New run: choose an existing annotator instead of training one."""

from collections.abc import Sequence

import streamlit as st

from app.components.form.config_fields import Fields
from app.components.form.content import Form
from app.components.form.field_specs import spec_of
from app.components.form.state import read
from app.components.frame import layout
from app.components.frame.annotator_words import overlap, provenance
from app.reads import results
from db import queries
from db.records import NamedAnnotatorRow

PATH = "annotator.use"
LIST = "new_run.named_annotators"


def choose_existing(fields: Fields, dataset: str) -> None:
    """A list of named annotators that fills the field beside it; where each comes from stands below."""
    with results.reading() as session:
        rows = [row for row in queries.named_annotators(session) if row.stored]
    left, right = st.columns(2)
    with left:
        st.selectbox(
            "Use an existing annotator",
            [row.key for row in rows],
            index=None,
            placeholder="choose one that has a name" if rows else "none has a name yet",
            disabled=not rows,
            key=LIST,
            on_change=_take,
            args=(fields.form,),
            help="It labels in place of one trained by the run; Annotators is the page where they get their names.",
        )
    with right:
        fields.field(spec_of(PATH))
    _say(rows, read(spec_of(PATH), fields.form.state[PATH])[0], dataset)


def _take(form: Form) -> None:
    """What is chosen goes into the field, which the address and a file can fill as well."""
    form.take(PATH, st.session_state[LIST] or "")
    st.session_state[LIST] = None


def _say(rows: Sequence[NamedAnnotatorRow], given: Sequence[str | None], dataset: str) -> None:
    """A field may name it by name, name and version, or fingerprint."""
    for text in given:
        row = next((row for row in rows if text in (row.key, row.name, row.fingerprint)), None)
        if row is not None:
            layout.note(f"{row.key}: {provenance(row)} {overlap(row, dataset)}")
