"""Quiet static tables: figures right-aligned, no index, no zebra; what is equal is muted, what differs is ink."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from app import untrusted
from cwpo.report import columns as report_columns
from cwpo.report.columns import Place
from cwpo.report.tables import Table

if TYPE_CHECKING:
    from pandas.io.formats.style_render import CSSDict

MUTED = "color: color-mix(in srgb, currentcolor 66%, transparent)"
STRONG = "font-weight: 600"
LONGEST_WORD = 24  # characters that a column leaves whole
MOST_ROWS = 500
KEPT = 96  # tables that were drawn
NAMED_BY = 16  # characters of the name that the rules of a table have in the browser
NARROW = 26  # characters of a row's name that stay on one line where a table has half of the page
INVISIBLE = "\u2060"
NO_BREAK = "\u00a0"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column; figures stand on the right."""

    label: str
    figures: bool = False
    whole: bool = False  # never breaks over two lines; figures never do
    limit: int = 80


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell that is not plain ink."""

    text: str
    muted: bool = False
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A table that is on the page, and the same for a machine: shares in [0, 1], full precision, all of its rows."""

    name: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[object]]
    numbers: Callable[[], Table]


def show_with_file(
    files: list[Drawn],
    columns: Sequence[Column],
    rows: Sequence[Sequence[object]],
    *,
    alt: str,
    numbers: Callable[[], Table],
    most: int = MOST_ROWS,
) -> None:
    """Draw the table and add it to the files of the page."""
    files.append(Drawn(name=alt, columns=columns, rows=rows, numbers=numbers))
    show(columns, rows, alt=alt, most=most)


def show(columns: Sequence[Column], rows: Sequence[Sequence[object]], *, alt: str, most: int = MOST_ROWS) -> None:
    """Draw the table. A cell is a Cell or anything that has a text; None is an en dash, muted."""
    cells = [[_cell(value) for value in row] for row in rows[:most]]
    _draw(_said(columns, cells, alt), columns, cells, alt)
    if len(rows) > most:
        st.caption(f"The first {most:,} of {len(rows):,} rows.")


def _said(columns: Sequence[Column], cells: Sequence[Sequence[Cell]], alt: str) -> str:
    """All that a table shows, as one text: equal ones are the same table."""
    headings = [(column.label, column.figures, column.whole, column.limit) for column in columns]
    return repr((alt, headings, [[(cell.text, cell.muted, cell.strong) for cell in row] for row in cells]))


@st.cache_data(max_entries=KEPT, show_spinner=False)
def _draw(said: str, _columns: Sequence[Column], _cells: Sequence[Sequence[Cell]], _alt: str) -> None:
    """Laying a table out takes far longer than comparing what it says: one that was drawn is sent again."""
    frame = pd.DataFrame(
        [[_text(cell, column) for cell, column in zip(row, _columns, strict=True)] for row in _cells],
        columns=_unique([untrusted.label(column.label) for column in _columns]),
    )
    inks = pd.DataFrame([[_ink(cell) for cell in row] for row in _cells], columns=frame.columns)
    styler = frame.style.apply(lambda _: inks, axis=None).set_table_styles(
        [*_alignment(_columns), *_broken(_columns, _cells)]
    )
    styler.set_uuid(sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:NAMED_BY])
    st.table(styler, border="horizontal", hide_index=True, alt=_alt)


def show_report(
    columns: Sequence[report_columns.Column],
    rows: Sequence[Any],
    *,
    alt: str,
    place: Place = "main",
    is_real: Callable[[Any], bool] | None = None,
    narrow: bool = False,
) -> None:
    """Draw one part of a report's columns; with `is_real` a row is muted, and its lead not strong, until it is. A
    `narrow` table stands beside something else."""
    kept = report_columns.part(columns, place)
    cells = [report_row(kept, row, is_real) for row in rows]
    fits = all(len(row[0].text) <= NARROW for row in cells) if narrow and kept else True
    show(report_headings(kept, whole=fits), cells, alt=alt)


def report_headings(columns: Sequence[report_columns.Column], *, whole: bool = True) -> list[Column]:
    """The same headings as in every file; words in one piece where they name the row, unless they are too long."""
    return [
        Column(label=column.title, figures=not column.words, whole=column.words and place == 0 and whole)
        for place, column in enumerate(columns)
    ]


def report_row(
    columns: Sequence[report_columns.Column], row: Any, is_real: Callable[[Any], bool] | None = None
) -> list[Cell]:
    """Each figure as it is declared."""
    real = is_real is not None and is_real(row)
    quiet = is_real is not None and not real
    return [Cell(text=column.cell(row), muted=column.muted or quiet, strong=column.lead and real) for column in columns]


def as_table(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> Table:
    """The same columns and cells for a file, whole and without ink."""
    texts = tuple(tuple(_cell(value).text for value in row) for row in rows)
    return Table(columns=tuple(column.label for column in columns), rows=texts)


def _unique(labels: Sequence[str]) -> list[str]:
    """pandas wants every heading once; what repeats gets invisible characters."""
    return [f"{label}{INVISIBLE * labels[:place].count(label)}" for place, label in enumerate(labels)]


def _cell(value: object) -> Cell:
    if isinstance(value, Cell):
        return value
    return Cell(text="–", muted=True) if value is None or value == "" else Cell(text=str(value))


def _text(cell: Cell, column: Column) -> str:
    """Escaped, in one piece where the column asks for it."""
    text = untrusted.label(cell.text, column.limit)
    return text.replace(" ", NO_BREAK) if column.figures or column.whole else text


def _ink(cell: Cell) -> str:
    return "; ".join(rule for rule, wanted in ((MUTED, cell.muted), (STRONG, cell.strong)) if wanted)


def _broken(columns: Sequence[Column], cells: Sequence[Sequence[Cell]]) -> "list[CSSDict]":
    """Paths and hashes have no place where a line may end: where one stands, its column breaks words, and no table has
    to be scrolled for it, which no key could do."""
    long = (
        place for place, column in enumerate(columns)
        if not (column.figures or column.whole)
        and any(len(word) > LONGEST_WORD for row in cells for word in row[place].text.split())
    )  # fmt: skip
    return [{"selector": f"td.col{place} *", "props": [("overflow-wrap", "anywhere")]} for place in long]


def _alignment(columns: Sequence[Column]) -> "list[CSSDict]":
    """Streamlit aligns by type and our figures are already text, so their columns say it themselves."""
    styles: list[CSSDict] = [{"selector": "td", "props": [("font-variant-numeric", "tabular-nums")]}]
    for place, column in enumerate(columns):
        if column.figures or column.whole:  # no break at a dash or hyphen either
            whole: list[tuple[str, str | float]] = [("white-space", "nowrap !important")]
            styles.append({"selector": f"td.col{place} *", "props": whole})
        if column.figures:
            right: list[tuple[str, str | float]] = [("text-align", "right !important")]
            styles.append({"selector": f"td.col{place}", "props": right})
            styles.append({"selector": f"th.col{place}", "props": right})
    return styles
