"""Examples as files: the page that is shown, or the first pairs of the whole view, as CSV or JSONL."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import streamlit as st

from app.components.frame import layout
from app.components.frame.address import ExamplesView
from app.components.frame.downloads import of_what_is_shown
from app.components.frame.formats import counted
from app.reads import results
from cwpo.report.tables import Table, to_csv
from db import queries
from db.records import AnnotationRow, Cursor, LabeledRow

MOST = 10_000  # pairs of one file
READ = 500  # together
LEFT_OUT = ("id", "run_id")
FORMATS: Mapping[str, tuple[str, str]] = {"CSV": ("csv", "text/csv"), "JSONL": ("jsonl", "application/jsonl")}
Row = AnnotationRow | LabeledRow


@layout.fragment
def show_export(view: ExamplesView, page: Sequence[Row], total: int | None) -> None:
    """Two lines with two formats each; a file is made when it is asked for."""
    folded = st.popover("Export", key="export_pairs", on_change="rerun", type="tertiary")
    if not folded.open:
        return
    whole = f"the first {MOST:,} of the view" if total is None or total > MOST else counted(total, "pair") + " in all"
    with folded:
        _line("this page", view, "page", lambda: iter(page))
        _line(whole, view, "view", lambda: all_pairs(view))


def _line(words: str, view: ExamplesView, name: str, rows: Callable[[], Iterator[Row]]) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(words, width=150)
        for label, (ending, mime) in FORMATS.items():
            file_name = f"pairs-of-run-{view.run}.{ending}"
            st.download_button(
                label, of_what_is_shown(file_name, partial(_file, rows, label)), file_name=file_name,
                mime=mime, key=f"pairs_{name}_{ending}", type="tertiary", on_click="ignore",
            )  # fmt: skip


def _file(rows: Callable[[], Iterator[Row]], label: str) -> str:
    return written(rows(), label)


def all_pairs(view: ExamplesView, most: int = MOST) -> Iterator[Row]:
    """The pairs of a view from its first page on, at most so many."""
    if view.run is None:
        return
    after, left, more = None, most, True
    while more and left > 0:
        with results.reading() as session:
            rows, after = _page(session, replace(view, before=""), after, min(READ, left))
        yield from rows
        left, more = left - len(rows), after is not None


def _page(session: Any, view: ExamplesView, after: Cursor | None, limit: int) -> tuple[Sequence[Row], Cursor | None]:
    if view.part == "human":
        labeled = queries.labeled_pairs(session, view.run or 0, text=view.q, after=after, limit=limit)
        return labeled.rows, labeled.next
    found = queries.annotations(
        session, view.run or 0, c_low=view.low, c_high=view.high, agreement=view.agreement, text=view.q,
        order=view.order, after=after, limit=limit,
    )  # fmt: skip
    return found.rows, found.next


def written(rows: Iterator[Row], label: str) -> str:
    """The file's content; JSONL has chosen and rejected besides, by the label that the pair has."""
    if label == "JSONL":
        return "".join(json.dumps(_preference(row), ensure_ascii=False) + "\n" for row in rows)
    told = [_plain(row) for row in rows]
    names = tuple(told[0]) if told else ("pair_id", "prompt", "response_a", "response_b")
    return to_csv(Table(columns=names, rows=tuple(tuple(row[name] for name in names) for row in told)))


def _plain(row: Row) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name not in LEFT_OUT}


def _preference(row: Row) -> dict[str, Any]:
    weak = isinstance(row, AnnotationRow)
    side = row.label if isinstance(row, AnnotationRow) else row.human_label
    chosen, rejected = (row.response_a, row.response_b) if side == "a" else (row.response_b, row.response_a)
    weight = row.confidence if isinstance(row, AnnotationRow) else 1.0
    own = {"chosen": chosen, "rejected": rejected, "source": "weak" if weak else "human", "weight": weight}
    return {"prompt": row.prompt, **own, **_plain(row)}
