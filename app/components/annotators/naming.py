"""Annotators page: name the annotator that a run trained, label a file with it, and list what has a name."""

from collections.abc import Sequence

import streamlit as st

from app import allowed
from app.components.annotators.file import show_file
from app.components.form.beside.annotator_words import provenance
from app.components.frame import layout, tables
from app.components.frame.formats import counted, dataset_name, share
from app.components.frame.tables import Cell, Column
from app.reads import results
from cwpo.config.catalog import short_name
from cwpo.report.document.meanings import MEANINGS
from cwpo.report.labels import annotators
from cwpo.report.listings import fields_of
from cwpo.report.numbers import number
from db import queries
from db.errors import DatabaseError
from db.records import LabelFigures, NamedAnnotatorRow
from db.status import DONE
from workers import api
from workers.api.people.access import Role

SLOT = "annotator"
WHY = "A named annotator can label for other runs, also on other data and for other policies, and outlives its run."
NOT_ONE = "These labels come from an ensemble, an implicit reward or another run's annotator, which get no name here."
OF_NAMED = (
    ("human labels met, %", "How often its label is the human one, on the pairs of the column on."),
    ("2·accuracy − 1", "What its mean C would be if its confidence were right on average."),
    ("mean C", "Its mean confidence over them."),
    ("ECE", MEANINGS["ECE"]),
    ("on", "The pairs that these figures were counted on."),
)
KEPT = (
    "A name keeps an annotator when the run that trained it is deleted; runs take it with annotator.use. "
    "Where confidence is right on average, mean C is 2·accuracy − 1."
)


def show_naming(run_id: int) -> None:
    """Its names, a form for another, and a file labeled with it."""
    layout.section("Use it elsewhere", WHY)
    with results.reading() as session:
        stages = {stage.slot: stage for stage in queries.run_stages(session, run_id)}
        mine = stages.get(SLOT)
        rows = queries.named_annotators(session, stage_id=mine.stage_id) if mine else []
    if mine is None or mine.status != DONE or mine.kind != SLOT or f"{SLOT}_2" in stages:
        layout.note(NOT_ONE)
        return
    for row in rows:
        layout.note(f"{row.key}: {provenance(row)}")
    _form(run_id)
    show_file(rows[0].key if rows else mine.fingerprint, mine.fingerprint)


def show_named(files: list[tables.Drawn]) -> None:
    """Every name with where it comes from, also of runs that were deleted, and a way to take one back."""
    with results.reading() as session:
        rows = queries.named_annotators(session)
    if not rows:
        return
    cut = f" The newest {len(rows):,} are listed." if len(rows) >= queries.MOST_NAMED else ""
    layout.section("Named annotators", f"{KEPT}{cut}", OF_NAMED)
    columns = [
        Column(label="name", whole=True), Column(label="model"), Column(label="trained on", limit=120),
        Column(label="seed", figures=True), Column(label="human labels met, %", figures=True),
        Column(label="2·accuracy − 1", figures=True), Column(label="mean C", figures=True),
        Column(label="ECE", figures=True), Column(label="on"), Column(label="note", limit=120),
    ]  # fmt: skip
    tables.show_with_file(files, columns, [_named_row(row) for row in rows], alt="named annotators",
                numbers=lambda: fields_of(rows))  # fmt: skip
    _take_back(rows)


def _named_row(row: NamedAnnotatorRow) -> list[object]:
    kind = annotators.KINDS.get(row.kind, row.kind)
    learned = f" ({counted(row.pairs, 'pair')})" if row.pairs else ""
    return [
        Cell(text=row.key, muted=not row.stored),
        f"{short_name(row.model)}, {kind}",
        f"{share(row.label_fraction)} of {dataset_name(row.dataset)}{learned}",
        row.seed,
        *_judged_cells(row.judged),
        row.note if row.stored else "its files are gone",
    ]


def _judged_cells(one: LabelFigures | None) -> list[object]:
    """How right, the mean confidence that this would justify, the mean confidence, ECE, and on which data."""
    if one is None or one.accuracy_human is None:
        return [None] * 5
    fair = number(2 * one.accuracy_human - 1)
    return [
        number(100 * one.accuracy_human, 1), fair, number(one.mean_confidence), number(one.ece, 3),
        dataset_name(one.dataset),
    ]  # fmt: skip


def _take_back(rows: Sequence[NamedAnnotatorRow]) -> None:
    with st.popover("Take a name back", type="tertiary"):
        chosen = st.selectbox("Name", [row.key for row in rows], key="name_taken_back")
        sure = st.checkbox("And delete the annotator where nothing else holds it", key=f"sure_of_{chosen}")
        if not st.button("Take it back", key="take_back", **allowed.only_for(Role.RUNNER, disabled=not sure)):
            return
    try:
        removed = api.forget_annotator(*_parsed(chosen))
    except DatabaseError as error:
        layout.flash(str(error))
    else:
        layout.flash(f"{chosen} is no name any more; {_removed(removed)}.")
    st.rerun()


def _parsed(key: str) -> tuple[str, int]:
    name, _, version = key.rpartition("@")
    return name, int(version)


def _removed(artifacts: int) -> str:
    return "the annotator is deleted" if artifacts else "the annotator stays, because a run or another name holds it"


def _form(run_id: int) -> None:
    with st.form("name_annotator", border=False):
        left, right = st.columns([2, 3])
        name = left.text_input("Name", max_chars=63, placeholder="helpful-30", key="annotator_name")
        note = right.text_input("Note", max_chars=300, placeholder="what to remember of it", key="annotator_note")
        if not st.form_submit_button("Name it", key="name_it", **allowed.only_for(Role.RUNNER)):
            return
    try:
        version = api.name_annotator(run_id, name, note)
    except DatabaseError as error:
        layout.problem(error)
        return
    layout.flash(f"It is {name.strip()}@{version} now.")
    st.rerun()
