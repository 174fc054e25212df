"""Relabel, sets and files: votes frozen as a version that runs use, what each brought, and JSONL out and in."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app import allowed, untrusted
from app.components.frame import layout, tables
from app.components.frame.address import SOURCE, CompareView, FilledForm
from app.components.frame.export import file_stem
from app.components.frame.formats import ago, counted
from app.components.frame.leaving import link
from app.components.frame.tables import Column
from app.reads import relabel, results
from cwpo.errors import DataError
from cwpo.report.document.meanings import GRA_IN_WORDS
from cwpo.report.labels.relabels import gain_sentence
from db import queries
from db.errors import DatabaseError
from db.records import RunRow, SetRow
from workers.access.doing import bound
from workers.api import data
from workers.api.people import votes
from workers.api.people.access import Role

FROZEN = (
    "A set is the majority of the votes on each pair, frozen under a name and a version. A run that is given one takes "
    "its pairs into the labeled part, each with weight 1, in place of the labels that they had; dropped pairs are left "
    "out. Ties, and pairs on which as many people say one thing as another, are not in it."
)
MEANINGS = (
    ("labels", "Pairs that the votes gave a label."),
    ("dropped", "Pairs that people took out."),
    ("undecided", "Pairs on which the votes chose no side."),
    ("used by", "Runs that train on these labels."),
    ("hash", "The beginning of the fingerprint of its labels: equal sets have equal ones."),
)
FORM = "In New run the field is Later labels, in a file data.relabels: NAME@VERSION."
LINES = "One JSON object per line with prompt, chosen and rejected; weight 0 drops the pair; person says who voted."
TAKEN = (
    "Votes of somebody on a pair that they voted on already are left as they are. Votes in the name of others only an "
    "administrator takes."
)
LARGEST = 64  # MB of a file that is taken
SHOWN_GAINS = 5
SHOWN_LINKS = 3


def show_sets(row: RunRow, person: str) -> None:
    """The votes of this run as a set, all sets, files."""
    layout.section("Make a set of this run's votes", FROZEN)
    draft = votes.draft_set(row.id)
    layout.note(
        f"{counted(draft.votes, 'vote')} of {counted(draft.people, 'person', 'people')} come to "
        f"{counted(draft.labels, 'label')}, {draft.dropped:,} dropped and {draft.undecided:,} undecided."
    )
    _freeze(row.id, ready=bool(draft.rows))
    with results.reading() as session:
        made = queries.relabel_sets(session)
    if made:
        layout.section("Sets", FORM, MEANINGS)
        _listed(made)
        _links(row.id, made)
        _gains(made)
    layout.section("Files", LINES)
    _files(row.id, made, person)


def _freeze(run_id: int, *, ready: bool) -> None:
    with st.form("freeze_votes", border=False):
        left, right = st.columns([2, 3])
        name = left.text_input("Name of the set", max_chars=63, placeholder="least-sure", key="set_name")
        note = right.text_input("What to remember of it", max_chars=300, key="set_note")
        why = allowed.may_not(Role.RUNNER) or ("" if ready else "No vote has decided a pair yet.")
        if not st.form_submit_button("Freeze the votes", key="freeze", disabled=bool(why), help=why or None):
            return
    try:
        made = votes.make_set(run_id, name.strip(), note)
    except (DatabaseError, DataError) as error:
        layout.problem(error)
        return
    layout.flash(f"{made.key} has {counted(made.labels, 'label')}. Later votes do not change it.")
    st.rerun()


def _listed(made: Sequence[SetRow]) -> None:
    columns = [
        Column(label="set", whole=True), Column(label="labels", figures=True), Column(label="dropped", figures=True),
        Column(label="undecided", figures=True), Column(label="people", figures=True), Column(label="made", whole=True),
        Column(label="used by"), Column(label="hash"), Column(label="note", limit=120),
    ]  # fmt: skip
    tables.show(columns, [_set_row(row) for row in made], alt="sets of labels")


def _set_row(row: SetRow) -> list[object]:
    used = ", ".join(f"run {run}" for run in row.runs[:4]) + (" …" if len(row.runs) > 4 else "")
    used = used or "no run"
    return [
        row.key, f"{row.labels:,}", f"{row.dropped:,}", f"{row.undecided:,}", row.people, ago(row.created_at), used,
        row.fingerprint[:8], row.note,
    ]  # fmt: skip


def _links(run_id: int, made: Sequence[SetRow]) -> None:
    """New run with the settings of this run and one of the newest sets."""
    for row in made[:SHOWN_LINKS]:
        filled = FilledForm(params={SOURCE: str(run_id), "data.relabels": row.key})
        link(filled, f"Run {run_id} again with {untrusted.label(row.key)}")


def _gains(made: Sequence[SetRow]) -> None:
    """What a label brought, for the newest sets whose runs can be compared with the same ones without."""
    used = [row for row in made if row.runs][:SHOWN_GAINS]
    if used:
        layout.note(GRA_IN_WORDS)
    for row in used:
        gains = relabel.gains_of(row)
        if not gains:
            layout.note(f"{row.key}: what it brought is said when its run and the same run without it are evaluated.")
        for gain in gains:
            layout.note(f"{row.key}, {gain.setting}: {gain_sentence(gain.difference, gain.labels)}")
            link(CompareView(runs=tuple(sorted(gain.run_ids))), "Compare both", aside=True)


def _files(run_id: int, made: Sequence[SetRow], person: str) -> None:
    why = allowed.may_not(Role.RUNNER)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Votes as JSONL", bound(lambda: "".join(votes.votes_file(run_id))),
            file_name=f"votes-of-run-{run_id}.jsonl", mime="application/jsonl", key="votes_jsonl", on_click="ignore",
            type="tertiary", disabled=bool(why), help=why or None,
        )  # fmt: skip
        for row in made[:8]:
            st.download_button(
                f"{untrusted.label(row.key)} as JSONL", bound(partial(votes.set_file, row.fingerprint)),
                file_name=f"{file_stem(row.key)}.jsonl", mime="application/jsonl", key=f"set_{row.key}",
                on_click="ignore", type="tertiary", disabled=bool(why), help=why or None,
            )  # fmt: skip
    given = st.file_uploader(
        "Take votes from a file", type=["jsonl"], max_upload_size=LARGEST, key="votes_from_file",
        **allowed.only_for(Role.ANNOTATOR, about=TAKEN),
    )  # fmt: skip
    if given is None or not st.button("Take the votes", key="take_votes", **allowed.only_for(Role.ANNOTATOR)):
        return
    try:
        text = data.whole_upload(given.name, given, LARGEST << 20).decode("utf-8-sig")
        taken = votes.import_votes(run_id, text.split("\n"), person.strip() or file_stem(given.name)[:40])
    except UnicodeDecodeError:
        layout.problem(f"{given.name} is not UTF-8 text: save it as UTF-8.")
    except (DatabaseError, DataError) as error:
        layout.problem(error)
    else:
        layout.flash(f"{counted(taken, 'vote')} taken from {given.name}.")
        st.rerun()
