"""A run's log: the end of it, by stage, by problem or by words, and all of that as a file."""

from collections.abc import Sequence

import streamlit as st

from app import untrusted
from app.components.frame import layout
from app.components.frame.downloads import of_what_is_shown
from app.reads import results, timing
from cwpo.report.numbers import count
from cwpo.stages.graph import slot_name
from db import queries
from db.records import LogLineRow

LINES = 300  # on the page
MOST_LINES = 50_000  # in a file
ANY = ""


def show_log(run_id: int, slots: Sequence[str]) -> None:
    """Newest lines last, in a box that stays at its end; what is asked for stands in the address."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        slot = st.selectbox(
            "Stage", [ANY, *slots], key="log_stage", bind="query-params", width=200, label_visibility="collapsed",
            format_func=lambda name: slot_name(name) if name else "every stage",
        ) or ANY  # fmt: skip
        text = st.text_input(
            "Search", key="log_text", bind="query-params", width=280, placeholder="Search in the log",
            label_visibility="collapsed",
        ) or ""  # fmt: skip
        problems = st.toggle("Only warnings and errors", key="log_problems", bind="query-params")
        st.download_button(
            "Download", of_what_is_shown(f"run-{run_id}.log", lambda: _file(run_id, slot, text, problems)),
            file_name=f"run-{run_id}.log", mime="text/plain",
            key="log_file", type="tertiary", on_click="ignore", help="Every line that fits, oldest first.",
        )  # fmt: skip
    with results.reading() as session:
        lines = queries.log_tail(session, run_id, LINES + 1, slot=slot, text=text, problems=problems)
    if not lines:
        asked = slot or text.strip() or problems
        layout.empty_state(
            "No line fits." if asked else "What the stages report is listed here once the first one runs."
        )
        return
    if len(lines) > LINES:
        layout.note(f"The last {count(LINES)} lines; the file has all of them.")
    with st.container(height=420, border=False, autoscroll=True):
        st.code("\n".join(_line(line) for line in lines[-LINES:]), language=None, wrap_lines=True)


def _line(line: LogLineRow) -> str:
    """With the time of day where the reader is."""
    return f"{timing.local(line.at):%H:%M:%S}  {slot_name(line.slot):<20} {untrusted.plain(line.text, 400)}"


def _file(run_id: int, slot: str, text: str, problems: bool) -> str:
    """The lines whole, each with its day in UTC."""
    with results.reading() as session:
        lines = queries.log_tail(session, run_id, MOST_LINES, slot=slot, text=text, problems=problems)
    return "".join(f"{line.at:%Y-%m-%d %H:%M:%SZ} {line.slot} {line.text}\n" for line in lines)
