"""What each setting costs, from two prices that the user sets; both stand in the address."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from app.components.frame import layout, tables
from app.components.frame.export import of_columns, show_export
from app.reads import results
from cwpo.compare.costs import Prices
from cwpo.compare.gra import GraRow
from cwpo.report import columns
from cwpo.report.document.meanings import glossary
from cwpo.stages.graph import slot_name
from db.records import RunRow


def show_costs(rows: Sequence[RunRow], table: Sequence[GraRow]) -> None:
    """Labels and time always; money once both prices are there."""
    left, right = layout.two_columns()
    with left:
        label = _price("Price of one human label", "label_price")
    with right:
        hour = _price("Price of one GPU-hour (CPU-hour where there is no GPU)", "hour_price")
    found, stages = results.costs_of(rows, table, Prices(label=label, hour=hour))
    layout.small("Cost by setting", meanings=glossary(columns.COSTS))
    tables.show_report(columns.COSTS, found, alt="Cost by setting")
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
        of_columns("costs", columns.COSTS, found),
        of_columns("time by stage", columns.STAGE_COSTS, stages),
    ]
    show_export(exported, key="export_costs")
    named = [replace(one, kind=slot_name(one.kind)) for one in stages]
    layout.small("Time by stage", meanings=glossary(columns.STAGE_COSTS))
    tables.show_report(columns.STAGE_COSTS, named, alt="Time by stage")


def _price(label: str, key: str) -> float | None:
    return st.number_input(label, min_value=0.0, value=None, format="%g", placeholder="not set", key=key,
                           bind="query-params")  # fmt: skip
