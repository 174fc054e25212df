"""Annotators page: a file of this machine labeled with the chosen annotator, how far that is, and what came out."""

from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from app import allowed, untrusted
from app.components.frame import layout
from app.components.frame.formats import ago
from cwpo import places
from cwpo.errors import CwpoError
from cwpo.report.numbers import duration
from db.errors import DatabaseError
from db.status import DONE, FAILED, RUNNING
from workers import api
from workers.api.people.access import Role

REFRESH = "2s"
FILES = (
    "A JSONL, Parquet or CSV file of prompts with two responses goes in; chosen, rejected, margin, confidence and "
    "weight come out, readable by TRL and datasets. It can be stopped and goes on where it was."
)
WHERE = (
    "The path is one on the machine that runs this dashboard, also where workers run on others. "
    "The same from a terminal:"
)
NAMES = {"FILE": "File", "--out": "Labeled file", "ANNOTATOR": "Annotator"}


def show_file(annotator: str, fingerprint: str) -> None:
    """The form, the newest labelings with this annotator, and the command that does the same."""
    layout.small("Label a file")
    layout.note(FILES)
    _form(annotator)
    live = any(one.status == RUNNING for one in api.labelings(fingerprint))
    layout.fragment(_labelings, run_every=REFRESH if live else None)(fingerprint, live)
    layout.note(WHERE)
    st.code(f"cwpo label {annotator} FILE", language=None)


def _form(annotator: str) -> None:
    with st.form("label_file", border=False):
        left, right = st.columns(2)
        path = left.text_input("File", placeholder="/data/pairs.jsonl", key="label_path")
        out = right.text_input(
            "Labeled file", placeholder="beside it: pairs.labeled.jsonl", key="label_out",
            help="JSONL, JSONL.gz or Parquet by its ending. A file that is there is never written over. "
            + untrusted.marked(places.sentence()),
        )  # fmt: skip
        if not st.form_submit_button("Label it", key="label_it", **allowed.only_for(Role.RUNNER)):
            return
    _act(lambda: _started(api.label_file(annotator, path, out)))


def _act(act: Callable[[], str]) -> None:
    """Do it and draw the page anew, or say why it cannot be done."""
    try:
        done = act()
    except (CwpoError, DatabaseError) as error:
        layout.problem(_named(str(error)))
        return
    layout.flash(done)
    st.rerun()


def _started(labeling: api.Labeling) -> str:
    return f"Labeling {labeling.source} into {labeling.out}."


def _labelings(fingerprint: str, was_live: bool) -> None:
    """Redrawn every two seconds while one runs, then the whole page once more."""
    found = api.labelings(fingerprint)
    if was_live and not any(one.status == RUNNING for one in found):
        st.rerun()
    for place, one in enumerate(found):
        _labeling(one, place)


def _labeling(one: api.Labeling, place: int) -> None:
    """Where it is written, how it stands, and what can be done."""
    left, right = st.columns([6, 1], vertical_alignment="center")
    with left:
        st.markdown(untrusted.label(one.out, 300))
        layout.note(_said(one))
    with right.container(horizontal=True, horizontal_alignment="right"):
        may = allowed.only_for(Role.RUNNER)
        if one.status == RUNNING and st.button("Stop", key=f"stop_{place}", type="tertiary", **may):
            _act(lambda: _stopped(one))
        again = "Try again" if one.status == FAILED else "Go on"
        if one.status not in (RUNNING, DONE) and st.button(again, key=f"go_on_{place}", type="tertiary", **may):
            _act(lambda: _started(api.label_file(one.annotator, str(one.source), str(one.out))))


def _stopped(one: api.Labeling) -> str:
    api.stop_labeling(str(one.out))
    return "Stopped; finished rows are kept."


def _said(one: api.Labeling) -> str:
    if one.status == RUNNING:
        took = duration((datetime.now(UTC) - one.started_at).total_seconds())
        return f"Labeling {one.source} for {took}: {one.said}."
    said = _named(one.said) if one.status == FAILED else one.said
    return f"From {one.source}, {ago(one.started_at)}. {said}"


def _named(sentence: str) -> str:
    """The field as the page calls it."""
    field, colon, rest = sentence.partition(": ")
    return f"{NAMES[field]}: {rest}" if colon and field in NAMES else sentence
