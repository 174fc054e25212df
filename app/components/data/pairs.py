"""Data page: the first pairs side by side, and the pairs as used in a file."""

from collections.abc import Sequence

import streamlit as st

from app import allowed
from app.components.frame import layout, text_blocks
from app.components.frame.downloads import show_download
from app.components.frame.formats import counted
from cwpo.data.profile.first_rows import Shown
from cwpo.errors import CwpoError
from cwpo.report.numbers import count, size
from db.errors import DatabaseError
from workers.api import data
from workers.api.people.access import Role

SHOWN = 3
REFRESH = "1s"
WHAT = "One JSON object a line: prompt, chosen, rejected, and the part of the split."


def show_pairs(pairs: Sequence[Shown]) -> None:
    """A few, and more on demand."""
    layout.section("The first pairs", "As a run would read them.")
    if not pairs:
        layout.note("No row makes a pair.")
        return
    more = st.session_state.get("data_more", False)
    for pair in pairs if more else pairs[:SHOWN]:
        with st.container(border=True):
            st.caption(f"line {pair.line:,}")
            text_blocks.show_text(pair.prompt, key=f"data_prompt_{pair.line}", limit=600)
            for column, name, text in zip(
                st.columns(2, gap="small"), ("chosen", "rejected"), (pair.chosen, pair.rejected), strict=True
            ):
                with column:
                    st.caption(f"{name} · {len(text):,} characters")
                    text_blocks.show_block(text, key=f"data_{name}_{pair.line}", limit=600)
    if not more and len(pairs) > SHOWN:
        st.button(
            f"Show {len(pairs)} pairs", key="data_show_more", type="tertiary",
            on_click=st.session_state.__setitem__, args=("data_more", True),
        )  # fmt: skip


def show_export(job: data.Job, key: str, label: str = "Write the pairs as used") -> None:
    """A file of all pairs, written by a process of its own."""
    live = data.state(job).status == "running"
    layout.fragment(_export, run_every=REFRESH if live else None)(job, key, label, live)


def show_run_export() -> None:
    """The same for the pairs of a run, with its own split and what it left out."""
    with st.expander("The pairs of a run"):
        run = st.number_input(
            "Run", min_value=1, step=1, value=None, key="data_run", placeholder="its number", width=200
        )
        if run is None:
            return
        try:
            job = data.job_of_run(int(run))
        except (CwpoError, DatabaseError) as error:
            layout.problem(error)
            return
        show_export(job, f"data_run_{run}", f"Write the pairs of run {run}")


def _export(job: data.Job, key: str, label: str, was_live: bool) -> None:
    state = data.state(job)
    if was_live and state.status != "running":
        st.rerun()
    if state.status == "running":
        st.text(f"Writing: {state.said}.")
        return
    if state.status == "failed":
        layout.problem(state.said)
    file = data.pairs_file(job)
    if file is None or state.result is None:
        if st.button(label, key=f"{key}_write", **allowed.only_for(Role.RUNNER, about=WHAT)):
            try:
                data.start(job, again=True)
            except CwpoError as error:
                layout.problem(error)
                return
            st.rerun()
        return
    written = ", ".join(f"{count(number)} {part}" for part, number in state.result["written"].items()) or "no pairs"
    bytes_ = file.stat().st_size
    show_download(f"Download pairs.jsonl ({size(bytes_)})", file, "pairs.jsonl", key=f"{key}_file", about=WHAT)
    layout.note(f"{written}; {counted(sum(state.result['written'].values()), 'line')}.")
