"""Data: what is in my data, and will it work?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app import allowed
from app.components.data.choose import show_choice
from app.components.data.found import show_counts, show_facts, show_lengths, show_problems, show_split, verdict
from app.components.data.hub_part import show_part
from app.components.data.mapping import show_mapping, show_recipes
from app.components.data.pairs import show_export, show_pairs, show_run_export
from app.components.frame import layout, tables
from app.components.frame.data_address import NEW, DataView, RunOnData
from app.components.frame.export import show_tables
from app.components.frame.formats import counted, dataset_name
from app.components.frame.leaving import leave, tell
from cwpo.config import catalog
from cwpo.data.profile.first_rows import FirstRows, Shown, as_told, first_rows
from cwpo.data.profile.job import Asked, of_hub
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
        job = _asked(view, source, "profile", view.columns)
        head = _head(source, view.columns)
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
    first = _streamed(view, source, state) if of_hub(source) else None
    if first is not None and first[1].result is not None:
        head = as_told(first[1].result)
    found = state.result
    columns = _columns(view, head, found)
    left, right = st.columns([2, 1], vertical_alignment="center")
    with left:
        layout.heading("Data", *_facts(view, source, head, found))
    with right, st.container(horizontal=True, horizontal_alignment="right"):
        _use(view, source, columns, found, head is None or head.pairs > 0)
        _another()
    if first is not None:
        show_part(view)
    files: list[tables.Drawn] = []
    if found is None:
        _reading(state, job, head, first)
    else:
        _found(found, files)
    _told(view, state, columns, head, found)
    if found is not None and found["pairs"]:
        show_export(_asked(view, source, "export", columns), "data_export")
    show_tables(files, key="export_data")


def _told(
    view: DataView, state: data.State, columns: Mapping[str, str] | None, head: FirstRows | None,
    found: Mapping[str, Any] | None,
) -> None:  # fmt: skip
    """Its columns, how a run would divide it, and its first pairs, as far as they are known."""
    names, guess = _names(head, found), head.guess if head is not None else (found or {}).get("guess", {})
    if names:
        show_mapping(view, names, columns, guess)
    elif state.status == "none":
        layout.note("Its columns and pairs stand here once it was read.")
    if found is not None and found["pairs"]:
        show_split(view, found)
    if head is not None or found is not None:
        show_pairs(_pairs(head, found))


def _asked(view: DataView, source: str, kind: Asked, columns: Mapping[str, str] | None) -> data.Job:
    """The question of this kind about what is looked at; how a run would divide it does not matter to first rows."""
    split = NEW if kind == "first" else view.split
    return data.job_of(source, columns, split, subset=view.subset, revision=view.revision, kind=kind)


def _streamed(view: DataView, source: str, whole: data.State) -> tuple[data.Job, data.State]:
    """The first rows of a dataset of the hub: the question, and how it stands. The first look asks it."""
    job = _asked(view, source, "first", view.columns)
    state = data.state(job)
    if state.status == "none" and whole.status not in ("running", "done") and not allowed.may_not(Role.RUNNER):
        state = _started(job, state)
    return job, state


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


def _reading(
    state: data.State, job: data.Job, head: FirstRows | None, first: tuple[data.Job, data.State] | None
) -> None:
    """All rows are read by a process of its own; the first ones are here already, or come as those of the hub do."""
    if head is not None and not head.pairs:
        why = head.worst or "there are none"
        layout.problem(
            f"None of the first {counted(head.rows, 'row')} makes a pair ({why}): say which column holds what."
        )
    elif head is not None:
        st.text(f"{head.pairs:,} of the first {counted(head.rows, 'row')} make pairs.")
    if state.status == "running":
        layout.fragment(_progress, run_every=REFRESH)(job, "Reading all of it")
        return
    if first is not None and head is None:
        _reading_first(*first, state)
    if state.status == "failed":
        layout.problem(state.said)
    pressed = st.button("Read all rows", key="data_read", **allowed.only_for(Role.RUNNER))
    if pressed and _started(job, state).status == "running":
        st.rerun()


def _reading_first(job: data.Job, state: data.State, whole: data.State) -> None:
    """How far the first rows of the hub are; what went wrong is said once."""
    if state.status == "running":
        layout.fragment(_progress, run_every=REFRESH)(job, "Reading the first rows")
        return
    if state.status == "failed" and state.said != whole.said:
        layout.problem(state.said)
    pressed = st.button("Read the first rows", key="data_first", type="tertiary", **allowed.only_for(Role.RUNNER))
    if pressed and _started(job, state).status == "running":
        st.rerun()


def _progress(job: data.Job, what: str) -> None:
    state = data.state(job)
    if state.status != "running":
        st.rerun()
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.text(f"{what}: {state.said}.")
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
                subset=view.subset,
                revision=view.revision,
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


def _facts(view: DataView, source: str, head: FirstRows | None, found: Mapping[str, Any] | None) -> list[str]:
    facts = [dataset_name(source) if is_local(source) or source in catalog.DATASETS else source]
    facts += [f"{what} {text}" for what, text in (("subset", view.subset), ("revision", view.revision)) if text]
    if is_local(source):
        facts.append(size(Path(source).stat().st_size))
    if found is not None:
        facts += [
            counted(found["rows"], "row"),
            counted(found["pairs"], "pair"),
            f"read in {duration(found['seconds'])}",
        ]
        facts += [f"commit {found['revision'][:12]}"] if found.get("revision") else []
    elif head is not None:
        facts.append(f"{counted(len(head.names), 'column')}")
    return facts


with layout.guarded():
    page()
