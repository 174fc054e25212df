"""What each setting costs, from two prices that the user sets; both stand in the address."""

from collections.abc import Sequence

import streamlit as st

from app import reads
from app.components import layout, tables
from app.components.export import Exported, show_export
from app.components.tables import Cell, Column
from cwpo.stages.graph import slot_name
from db.records import RunRow
from workers import report
from workers.report import CostRow, GraRow, Prices

COLUMNS = (
    Column(label="setting", whole=True),
    Column(label="human labels", figures=True),
    Column(label="training, alone", figures=True),
    Column(label="evaluation, alone", figures=True),
    Column(label="GRA, %", figures=True),
    Column(label="cost", figures=True),
    Column(label="per point over 50 %", figures=True),
    Column(label="95 %", figures=True),
)
STAGE_COLUMNS = (
    Column(label="stage"),
    Column(label="device"),
    Column(label="stages", figures=True),
    Column(label="for runs", figures=True),
    Column(label="time, shared once", figures=True),
    Column(label="time, each run alone", figures=True),
)


def show_costs(rows: Sequence[RunRow], table: Sequence[GraRow]) -> None:
    """Labels and time always; money once both prices are there."""
    left, right = layout.two_columns()
    with left:
        label = _price("Price of one human label", "label_price")
    with right:
        hour = _price("Price of one GPU-hour (CPU-hour where there is no GPU)", "hour_price")
    found, stages = reads.costs_of(rows, table, Prices(label=label, hour=hour))
    tables.show(COLUMNS, [cost_row_cells(row) for row in found], alt="Cost by setting")
    words = [
        "Alone: all stages of one run, averaged over seeds, although runs share some; GRA's interval is carried over."
    ]
    if label is None or hour is None:
        words.append("Set both prices to see what a point of GRA over 50 % costs.")
    for note in dict.fromkeys(row.note for row in found if row.note):
        words.append(f"{', '.join(row.label for row in found if row.note == note)}: {note}.")
    words.append(
        "A gold reward trained here reads human labels too; they belong to the evaluation and are not counted."
    )
    layout.note(" ".join(words))
    exported = [
        Exported(name="costs", numbers=lambda: report.cost_numbers(found), cells=lambda: report.cost_cells(found)),
        Exported(
            name="time by stage",
            numbers=lambda: report.fields_of(stages),
            cells=lambda: report.stage_cost_cells(stages),
        ),
    ]
    show_export(exported, key="export_costs")
    cells = [[slot_name(str(kind)), *rest] for kind, *rest in report.stage_cost_cells(stages).rows]
    tables.show(STAGE_COLUMNS, cells, alt="Time by stage")


def cost_row_cells(row: CostRow) -> list[Cell]:
    """Figures in ink, their interval muted."""
    span = "–" if row.per_point is None else f"{report.number(row.per_point_low)} – {report.number(row.per_point_high)}"
    return [
        Cell(text=row.label),
        Cell(text=report.number(row.human_labels, 0)),
        Cell(text=report.duration(row.training_seconds)),
        Cell(text=report.duration(row.evaluation_seconds), muted=True),
        Cell(text=report.number(100 * row.estimate, 1)),
        Cell(text=report.number(row.cost)),
        Cell(text=report.number(row.per_point)),
        Cell(text=span, muted=True),
    ]


def _price(label: str, key: str) -> float | None:
    return st.number_input(label, min_value=0.0, value=None, format="%g", placeholder="not set", key=key,
                           bind="query-params")  # fmt: skip
