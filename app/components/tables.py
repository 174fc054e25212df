"""Quiet static tables: figures right-aligned, no index, no zebra; what is equal is muted, what differs is ink."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from app import untrusted
from workers import report
from workers.report import Table

if TYPE_CHECKING:
    from pandas.io.formats.style_render import CSSDict

MUTED = "color: color-mix(in srgb, currentcolor 58%, transparent)"
STRONG = "font-weight: 600"
MOST_ROWS = 500
INVISIBLE = "\u2060"
NO_BREAK = "\u00a0"
NOTHING = "–"
Value = str | int | float
Span = tuple[Value | None, Value | None]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column; figures stand on the right."""

    label: str
    figures: bool = False
    whole: bool = False  # never breaks over two lines; figures never do
    limit: int = 80


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell that is not plain ink, or that has more to say to a machine than its text."""

    text: str
    muted: bool = False
    strong: bool = False
    value: Value | Span | None = None  # in CSV and JSON, in the unit of the heading; an interval takes two columns


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A table that is on the page."""

    name: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[object]]
    numbers: Callable[[], Table] | None = None  # for a machine, where it is not the same rows


_drawn: ContextVar[list[Drawn] | None] = ContextVar("drawn", default=None)


@contextmanager
def gathered() -> Iterator[list[Drawn]]:
    """The tables that are drawn inside, for a file of each."""
    found: list[Drawn] = []
    token = _drawn.set(found)
    try:
        yield found
    finally:
        _drawn.reset(token)


def figure(value: float | None, digits: int = 2, *, muted: bool = False) -> Cell:
    """A number as people read it, at full precision in a file."""
    return Cell(text=report.number(value, digits), value=value, muted=muted)


def count(value: int | None, *, muted: bool = False) -> Cell:
    """12,345."""
    return Cell(text=report.count(value), value=value, muted=muted)


def share(value: float | None, *, muted: bool = False) -> Cell:
    """A share under a heading that says %: 0.572 -> 57.2."""
    return figure(None if value is None else 100 * value, 1, muted=muted)


def span(low: float | None, high: float | None, *, muted: bool = False) -> Cell:
    """The interval of a share under a heading that says %."""
    value = None if low is None or high is None else (100 * low, 100 * high)
    return Cell(text=report.interval(low, high), value=value, muted=muted)


def change(value: float | None) -> Cell:
    """A difference of shares in points, with its sign."""
    return Cell(text=report.points(value), value=None if value is None else 100 * value)


def change_span(low: float | None, high: float | None) -> Cell:
    """The interval of a difference of shares in points."""
    value = None if low is None or high is None else (100 * low, 100 * high)
    return Cell(text=report.points_interval(low, high), value=value)


def show(
    columns: Sequence[Column],
    rows: Sequence[Sequence[object]],
    *,
    alt: str,
    numbers: Callable[[], Table] | None = None,
) -> None:
    """Draw the table. A cell is a Cell or anything that has a text; None is an en dash, muted."""
    if (drawn := _drawn.get()) is not None:
        drawn.append(Drawn(name=alt, columns=columns, rows=rows, numbers=numbers))
    shown = rows[:MOST_ROWS]
    cells = [[_cell(value) for value in row] for row in shown]
    frame = pd.DataFrame(
        [[_text(cell, column) for cell, column in zip(row, columns, strict=True)] for row in cells],
        columns=_unique([untrusted.label(column.label) for column in columns]),
    )
    inks = pd.DataFrame([[_ink(cell) for cell in row] for row in cells], columns=frame.columns)
    styler = frame.style.apply(lambda _: inks, axis=None).set_table_styles(_alignment(columns))
    st.table(styler, border="horizontal", hide_index=True, alt=alt)
    if len(rows) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS:,} of {len(rows):,} rows.")


def as_table(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> Table:
    """The same columns and cells for a file, whole and without ink."""
    texts = tuple(tuple(_cell(value).text for value in row) for row in rows)
    return Table(columns=tuple(column.label for column in columns), rows=texts)


def as_numbers(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> Table:
    """The same for a machine: values where cells have one, null for nothing, an interval as its two ends."""
    cells = [[_cell(value) for value in row] for row in rows]
    wide = [any(isinstance(row[place].value, tuple) for row in cells) for place in range(len(columns))]
    labels = [
        name
        for column, pair in zip(columns, wide, strict=True)
        for name in ((f"{column.label} low", f"{column.label} high") if pair else (column.label,))
    ]
    values = tuple(
        tuple(one for cell, pair in zip(row, wide, strict=True) for one in _values(cell, pair)) for row in cells
    )
    return Table(columns=_told_apart(labels), rows=values)


def _values(cell: Cell, pair: bool) -> Span | tuple[Value | None]:
    if isinstance(cell.value, tuple):
        return cell.value
    value: Value | None = cell.value if cell.value is not None else cell.text
    value = None if value == NOTHING or not str(value).strip() else value
    return (value, value) if pair else (value,)


def _told_apart(labels: Sequence[str]) -> tuple[str, ...]:
    """JSON wants every name once."""
    seen = [labels[:place].count(label) for place, label in enumerate(labels)]
    return tuple(label if not times else f"{label} {times + 1}" for label, times in zip(labels, seen, strict=True))


def _unique(labels: Sequence[str]) -> list[str]:
    """pandas wants every heading once; what repeats gets invisible characters."""
    return [f"{label}{INVISIBLE * labels[:place].count(label)}" for place, label in enumerate(labels)]


def _cell(value: object) -> Cell:
    if isinstance(value, Cell):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Cell(text=str(value), value=value)
    return Cell(text=NOTHING, muted=True) if value is None or value == "" else Cell(text=str(value))


def _text(cell: Cell, column: Column) -> str:
    """Escaped, in one piece where the column asks for it."""
    text = untrusted.label(cell.text, column.limit)
    return text.replace(" ", NO_BREAK) if column.figures or column.whole else text


def _ink(cell: Cell) -> str:
    return "; ".join(rule for rule, wanted in ((MUTED, cell.muted), (STRONG, cell.strong)) if wanted)


def _alignment(columns: Sequence[Column]) -> "list[CSSDict]":
    """Streamlit aligns by type and our figures are already text, so their columns say it themselves."""
    styles: list[CSSDict] = [{"selector": "td", "props": [("font-variant-numeric", "tabular-nums")]}]
    for place, column in enumerate(columns):
        if column.figures:
            right: list[tuple[str, str | float]] = [("text-align", "right !important")]
            styles.append({"selector": f"td.col{place}", "props": right})
            styles.append({"selector": f"th.col{place}", "props": right})
    return styles
