"""Over-optimisation: GRA under two judges along training over the distance moved, and the best of n beside it."""

from collections.abc import Sequence

import streamlit as st

from app.components.frame import layout, tables
from app.components.frame.chart import show_chart
from app.components.frame.export import of_columns, show_export
from app.reads import along
from cwpo.compare.judges.along import AlongRow, turned
from cwpo.report.document.meanings import glossary
from cwpo.report.judges import columns
from db.records import RunRow

TITLE = "Does the gold reward stay right along training?"
CAPTION = (
    "Points are models kept along the alignment, on a part of the prompts; dashed, the second judge. Dotted and thin: "
    "the best of n answers of the baseline by the gold reward, at log n − (n − 1)/n nats. Bands are 95 %, point by "
    "point."
)
FEW = 2  # curves, the best of n included, that have room beside their table
NO_SECOND = "No second judge was asked, so that nothing here tells a better model from a fooled gold reward."


def show_along(rows: Sequence[RunRow], *, key: str) -> None:
    """Chart, what it says in words, and the table; nothing where no run was asked for it."""
    found = along.along_of(rows)
    if not found:
        return
    few = len({row.group_key for row in found}) <= FEW
    left, right = layout.two_columns() if few else (st.container(), st.container())
    with left:
        show_chart("along", found, key=f"along_{key}", title=TITLE, caption=CAPTION)
        for sentence in _said(found):
            layout.note(sentence)
    with right:
        layout.small("Gold reward and second judge", meanings=glossary(columns.ALONG))
        tables.show_report(columns.ALONG, found, alt="GRA along training under two judges", narrow=few)
        show_export([of_columns("along training", columns.ALONG, found, notes=[CAPTION])], key=f"export_along_{key}")


def _said(found: Sequence[AlongRow]) -> list[str]:
    if all(row.second is None for row in found):
        return [NO_SECOND]
    return turned(found)
