"""Data: what is in my data, and will it work?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app import allowed
from app.components.data.choose import show_choice
from app.components.data.found import show_counts, show_facts, show_lengths, show_problems, show_split, verdict
from app.components.data.mapping import show_mapping, show_recipes
from app.components.data.pairs import show_export, show_pairs, show_run_export
from app.components.frame import layout, tables
from app.components.frame.data_address import DataView, RunOnData
from app.components.frame.export import show_tables
from app.components.frame.formats import counted, dataset_name
from app.components.frame.leaving import leave, tell
from cwpo.config import catalog
from cwpo.data.profile.first_rows import FirstRows, Shown, first_rows
from cwpo.errors import CwpoError
from cwpo.models.hub import is_local
from cwpo.report.numbers import duration, size
from workers.api import data
from workers.api.people.access import Role

REFRESH = "1s"
AT_ONCE = 64 << 20  # bytes of a file whose rows are all read without being asked
EMPTY = "What is in a dataset stands here: how many pairs it makes, what is dropped and why, and what is alike in it."


def page() -> None:
    layout.show_flash()
    view = DataView.from_params(st.query_params)
    if not view.source:
        layout.heading("Data", "What is in my data, and will it work?")
        show_choice()
        layout.note(EMPTY)
        show_run_export()
        show_recipes()
        return
    try:
        source = data.check_source(view.source)
        head = _head(source, view.columns)
        job = data.job_of(source, view.columns, view.split)
    except (CwpoError, OSError) as error:
        layout.heading("Data", dataset_name(view.source))
        layout.problem(error)
        _another()
        show_choice()
        return
    _dataset(view, source, head, job)


def _dataset(view: DataView, source: str, head: FirstRows | None, job: data.Job) -> None:
    state = data.state(job)
    small = state.status == "none" and is_local(source) and Path(source).stat().st_size <= AT_ONCE
    if small and not allowed.may_not(Role.RUNNER):
        state = _started(job, state)
    found = state.result
    columns = _columns(view, head, found)
    left, right = st.columns([2, 1], vertical_alignment="center")
    with left:
        layout.heading("Data", *_facts(source, head, found))
    with right, st.container(horizontal=True, horizontal_alignment="right"):
        _use(view, source, columns, found, head is None or head.pairs > 0)
        _another()
    files: list[tables.Drawn] = []
    if found is None:
        _reading(state, job, head)
    else:
        _found(found, files)
    names, guess = _names(head, found), head.guess if head is not None else {}
    if names:
        show_mapping(view, names, columns, guess)
    elif state.status == "none":
        layout.note("Its columns and pairs stand here once it was read.")
    if found is not None and found["pairs"]:
        show_split(view, found)
    if head is not None or found is not None:
        show_pairs(_pairs(head, found))
    if found is not None and found["pairs"]:
        show_export(data.job_of(source, columns, view.split, export=True), "data_export")
    show_tables(files, key="export_data")


def _found(found: Mapping[str, Any], files: list[tables.Drawn]) -> None:
    """First screen: will it work, how much is there, what is dropped, how long is it."""
    st.text(verdict(found))
    show_counts(found)
    show_facts(found)
    left, right = layout.two_columns()
    with left:
        show_problems(found, files)
    if found["pairs"]:
        with right:
            show_lengths(found)


def _reading(state: data.State, job: data.Job, head: FirstRows | None) -> None:
    """All rows are read by a process of its own; the first ones are here already."""
    if head is not None and not head.pairs:
        why = head.worst or "there are none"
        layout.problem(
            f"None of the first {counted(head.rows, 'row')} makes a pair ({why}): say which column holds what."
        )
    elif head is not None:
        st.text(f"{head.pairs:,} of the first {counted(head.rows, 'row')} make pairs.")
    if state.status == "running":
        layout.fragment(_progress, run_every=REFRESH)(job)
        return
    if state.status == "failed":
        layout.problem(state.said)
    pressed = st.button("Read all rows", key="data_read", **allowed.only_for(Role.RUNNER))
    if pressed and _started(job, state).status == "running":
        st.rerun()


def _progress(job: data.Job) -> None:
    state = data.state(job)
    if state.status != "running":
        st.rerun()
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.text(f"Reading all of it: {state.said}.")
    right.button(
        "Stop",
        key="data_stop",
        type="tertiary",
        on_click=layout.told(data.stop),
        args=(job,),
        **allowed.only_for(Role.RUNNER),
    )


def _started(job: data.Job, before: data.State) -> data.State:
    try:
        data.start(job, again=True)
    except CwpoError as error:
        layout.problem(error)
        return before
    return data.state(job)


def _use(
    view: DataView, source: str, columns: Mapping[str, str] | None, found: Mapping[str, Any] | None, usable: bool
) -> None:
    """New run with the dataset filled in, and as many test prompts as can be held out."""
    usable = bool(found["pairs"]) if found is not None else usable
    clicked = st.button(
        "Use in a new run", key="data_use", type="primary", disabled=not usable,
        help=None if usable else "No row makes a pair yet.",
    )  # fmt: skip
    if clicked:
        few = found is not None and found["split"]["test"] < view.split.test_prompts
        changed = view.split.test_prompts != DataView().split.test_prompts
        share = view.split.label_fraction
        leave(
            RunOnData(
                dataset=source,
                columns=columns,
                test_prompts=found["split"]["test"] if few and found else view.split.test_prompts if changed else None,
                label_fraction=share if share != DataView().split.label_fraction else None,
            )
        )


def _another() -> None:
    st.button("Another dataset", key="data_another", type="tertiary", on_click=tell, args=({},))


def _head(source: str, columns: Mapping[str, str] | None) -> FirstRows | None:
    """The first rows of a file; of the hub's nothing is read while the page waits."""
    return first_rows(Path(source), columns=columns) if is_local(source) else None


def _columns(view: DataView, head: FirstRows | None, found: Mapping[str, Any] | None) -> Mapping[str, str] | None:
    """By which the rows are read: as it was said, else as it was found."""
    if view.columns is not None:
        return view.columns
    return head.columns if head is not None else found["columns"] if found is not None else None


def _names(head: FirstRows | None, found: Mapping[str, Any] | None) -> Sequence[str]:
    return head.names if head is not None else found["names"] if found is not None else ()


def _pairs(head: FirstRows | None, found: Mapping[str, Any] | None) -> Sequence[Shown]:
    if head is not None or found is None:
        return head.shown if head is not None else ()
    return [Shown(**one) for one in found["first"]]


def _facts(source: str, head: FirstRows | None, found: Mapping[str, Any] | None) -> list[str]:
    facts = [dataset_name(source) if is_local(source) or source in catalog.DATASETS else source]
    if is_local(source):
        facts.append(size(Path(source).stat().st_size))
    if found is not None:
        facts += [
            counted(found["rows"], "row"),
            counted(found["pairs"], "pair"),
            f"read in {duration(found['seconds'])}",
        ]
    elif head is not None:
        facts.append(f"{counted(len(head.names), 'column')}")
    return facts


with layout.guarded():
    page()
