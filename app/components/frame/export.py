"""Files of what a page shows: its tables behind one quiet "Export", its charts as PNG or SVG, its runs as a bundle."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import allowed, untrusted
from app.charts.frame import CHART_FORMATS
from app.components.frame import layout, tables
from app.components.frame.downloads import of_what_is_shown
from cwpo.report import columns as report_columns
from cwpo.report.columns import Column
from cwpo.report.tables import Table, to_csv, to_json, to_latex, to_markdown
from workers import api
from workers.access.doing import bound
from workers.api.people.access import Role

ENDINGS: Mapping[str, tuple[str, str, Callable[[Table], str]]] = {
    "CSV": ("csv", "text/csv", to_csv),
    "JSON": ("json", "application/json", to_json),
    "Markdown": ("md", "text/markdown", to_markdown),
    "LaTeX": ("tex", "text/x-tex", to_latex),
}
AT_FULL_PRECISION = ("CSV", "JSON")
CHART_FORMAT = "chart_format"
_REDRAW = "chart_format_redraw"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A table that can be had as a file: numbers for machines, cells as they are shown for people."""

    name: str  # of the file, and of its line
    numbers: Callable[[], Table]
    cells: Callable[[], Table]


def of_columns(name: str, columns: Sequence[Column], rows: Sequence[Any], *, notes: Sequence[str] = ()) -> Exported:
    """Rows under the columns of their report; under the table, for people, its notes."""
    return Exported(
        name=name,
        numbers=lambda: report_columns.numbers(columns, rows),
        cells=lambda: report_columns.cells(columns, rows, notes),
    )


@layout.fragment
def show_export(exported: Sequence[Exported], key: str = "export") -> None:
    """One line per table, four formats each. Nothing is written before the file is asked for."""
    if st.session_state.pop(_REDRAW, False):
        st.rerun()
    folded = st.popover("Export", key=key, on_change="rerun", type="tertiary")
    if not folded.open:
        return
    with folded:
        for table in exported:
            with st.container(horizontal=True, gap="small", vertical_alignment="center"):
                st.caption(untrusted.label(table.name), width=120)
                for label in ENDINGS:
                    _download(table, label)
        choose_chart_format(key)


def show_tables(drawn: Sequence[tables.Drawn], key: str) -> None:
    """The tables that a page has drawn, if there are any."""
    if drawn:
        show_export([exported(table) for table in drawn], key=key)


def exported(table: tables.Drawn) -> Exported:
    """A drawn table as a file."""
    return Exported(
        name=f"{table.name[:1].upper()}{table.name[1:]}",
        numbers=table.numbers,
        cells=lambda: tables.as_table(table.columns, table.rows),
    )


def text_of(table: Exported, label: str) -> str:
    """The file's content in one of the formats."""
    content = table.numbers if label in AT_FULL_PRECISION else table.cells
    return ENDINGS[label][2](content())


def file_stem(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def show_bundle(run_ids: Sequence[int], reference: str = "", *, reason: str = "") -> None:
    """A file that computes these runs again on another machine; `reason` says why there is none."""
    reason = reason or allowed.may_not(Role.RUNNER)
    st.download_button(
        "Reproduce bundle",
        bound(lambda: api.reproduce_bundle(run_ids, reference=reference)),
        file_name=f"cwpo-run-{run_ids[0]}.zip" if len(run_ids) == 1 else f"cwpo-{len(run_ids)}-runs.zip",
        mime="application/zip",
        key="bundle",
        type="tertiary",
        on_click="ignore",
        disabled=bool(reason),
        help=reason or "Configurations, revisions, seeds, tables. It is computed again by: cwpo reproduce FILE.zip",
    )


def choose_chart_format(key: str) -> None:
    """What the camera on every chart saves. Its button is Plotly's own and knows one format at a time, so that another
    choice draws the page again."""
    own = f"{CHART_FORMAT}_{key}"
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption("Charts, by the camera on each", width=200)
        st.segmented_control("Save charts as", CHART_FORMATS, default=chart_format(), key=own, required=True,
                             label_visibility="collapsed", on_change=_keep_chart_format, args=(own,))  # fmt: skip


def _keep_chart_format(key: str) -> None:
    # A callback, because the list may be folded before the choice is drawn.
    st.session_state[CHART_FORMAT] = st.session_state[key]
    st.session_state[_REDRAW] = True


def chart_format() -> str:
    """PNG unless the other one was chosen."""
    chosen = st.session_state.get(CHART_FORMAT)
    return chosen if chosen in CHART_FORMATS else CHART_FORMATS[0]


def _download(table: Exported, label: str) -> None:
    ending, mime, _ = ENDINGS[label]
    file_name = f"{file_stem(table.name)}.{ending}"
    st.download_button(
        label,
        of_what_is_shown(file_name, lambda: text_of(table, label)),
        file_name=file_name,
        mime=mime,
        key=f"{table.name}_{ending}",
        type="tertiary",
        on_click="ignore",
    )
