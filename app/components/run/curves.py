"""Curves of one run or of several: loss, reward accuracy, reward margin, and the annotator's own."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app.charts import confidence_bins
from app.components.frame.chart import show_chart
from app.reads import results
from cwpo.stages.graph import slot_name
from db import queries
from db.records import RunRow, StageRow

POINTS = 400  # per line; the query thins, extremes stay
# (title, slot, metric), most telling first; the first four with points are shown, BY_CONFIDENCE after them.
PANELS = (
    ("Is the loss falling?", "align", "loss"),
    ("Does it prefer the chosen answer?", "align", "rewards/accuracies"),
    ("By how much?", "align", "rewards/margins"),
    ("Does the annotator learn?", "annotator", "loss"),
    ("SFT loss", "sft", "loss"),
    ("Gold reward loss", "gold", "loss"),
)
SHOWN = 4
BY_CONFIDENCE = {"accuracies": "Which pairs does it learn?", "margins": "By how much, by confidence?"}


def show_run_curves(row: RunRow, stages: Sequence[StageRow]) -> None:
    """Side by side where there is room; a panel appears with its first point."""
    slots = {stage.slot: stage.stage_id for stage in stages if stage.slot in {slot for _, slot, _ in PANELS}}
    names = sorted({metric for _, slot, metric in PANELS if slot in slots})
    names += [name for metric in BY_CONFIDENCE for name in confidence_bins.names(metric)]
    if not slots:
        return
    with results.reading() as session:
        table = queries.metrics(session, list(slots.values()), names=names, max_points=POINTS)
    panels = [(title, slot, metric) for title, slot, metric in PANELS if _has(table, slots.get(slot), metric)][:SHOWN]
    if not panels:
        st.caption("Curves appear with the first training step.")
        return
    grid = st.grid(2, min_column_width=200)
    for title, slot, metric in panels:
        with grid.cell():
            line = (slot_name(slot), row.method, table[table.stage_id == slots[slot]])
            show_chart("training_curves", [line], key=f"curve_{slot}_{metric}", title=title, metric=metric)
    for metric, title in BY_CONFIDENCE.items():
        if any(_has(table, slots.get("align"), name) for name in confidence_bins.names(metric)):
            with grid.cell():
                line = (slot_name("align"), row.method, table[table.stage_id == slots["align"]])
                show_chart("confidence_bins", [line], key=f"bins_{metric}", title=title, metric=metric)


def _has(table: pd.DataFrame, stage_id: int | None, metric: str) -> bool:
    return stage_id is not None and bool(((table.stage_id == stage_id) & (table["name"] == metric)).any())
