"""Curves of one run: chosen, smoothed, on a log scale or over the full width as the address says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.charts import confidence_bins
from app.charts.training_curves import Way
from app.components.frame import layout
from app.components.frame.chart import show_chart
from app.components.run.steps import choose_steps, dragged
from app.reads import results
from cwpo.stages.graph import slot_name
from db import queries
from db.records import RunRow, StageRow

POINTS = 400  # per line; the query thins, extremes stay
SHOWN = 4  # curves, where none are chosen
SMOOTHINGS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One curve of one stage; `about` is its help."""

    title: str
    slot: str
    metric: str
    about: str


# Most telling first; of those with points the first four are shown, by confidence after them.
PANELS = tuple(
    Panel(title=title, slot=slot, metric=metric, about=about)
    for title, slot, metric, about in (
        ("Is the loss falling?", "align", "loss", "The alignment loss: the mean over a batch of the weighted loss of "
         "each pair, as the objective defines it."),
        ("Does it prefer the chosen answer?", "align", "rewards/accuracies", "The share of pairs whose chosen answer "
         "has the larger implicit reward β (log π − log π_ref). One half is chance."),
        ("By how much?", "align", "rewards/margins", "The mean over a batch of the implicit reward of chosen minus "
         "that of rejected, in nats."),
        ("How sure is the annotator of fresh pairs?", "align", "fresh/confidence", "The mean confidence C of the pairs "
         "that the policy has just sampled; the closer its answers come to each other, the lower."),
        ("How far has the policy moved?", "align", "fresh/kl", "KL of the policy from its reference in nats per "
         "answer, on the answers that it has just sampled."),
        ("Does the annotator learn?", "annotator", "loss", "The annotator's loss on human labels: −log σ of the score "
         "of the preferred answer minus that of the other. 0.693 is chance."),
        ("SFT loss", "sft", "loss", "Negative log-likelihood per response token, in nats."),
        ("Gold reward loss", "gold", "loss", "The same as of the annotator, for a gold reward trained here."),
        ("Reward of chosen", "align", "rewards/chosen", "β (log π − log π_ref) of the chosen answers. Both falling is "
         "common; the margin is what counts."),
        ("Reward of rejected", "align", "rewards/rejected", "β (log π − log π_ref) of the rejected answers."),
        ("Log-probability of chosen", "align", "logps/chosen", "log π of the chosen answers, summed over tokens."),
        ("Log-probability of rejected", "align", "logps/rejected", "The same of the rejected answers."),
        ("Mean weight", "align", "mean_weight", "The mean weight w of the pairs of a batch."),
        ("Margin of fresh pairs", "align", "fresh/margin", "The mean difference of the annotator's scores of the two "
         "answers."),
        ("Fresh pairs that count nothing", "align", "fresh/idle", "The share of identical answers, of pairs that the "
         "weighting drops, and of pairs of weight 0."),
        ("Identical answers", "align", "fresh/identical", "The share of prompts whose two sampled answers are the same "
         "text: no label can tell them apart."),
        ("Annotator's score of fresh answers", "align", "fresh/score", "Rising while the true utility falls is what an "
         "exploited annotator looks like."),
        ("True utility of fresh answers", "align", "fresh/true_utility", "Known in the sandbox only."),
        ("Accuracy on fresh pairs", "align", "fresh/true_accuracy", "The share of fresh pairs that the annotator "
         "orders as the true utility does; known in the sandbox only. One half is chance."),
        ("Gradient norm", "align", "grad_norm", "Before clipping. Jumps are steps that were cut."),
        ("Learning rate", "align", "lr", "Warm-up, then the schedule."),
        ("Accuracy of the annotator", "annotator", "accuracy", "The share of its training pairs that it orders as the "
         "human did. One half is chance."),
        ("Held-out loss of the annotator", "annotator", "heldout_nll", "On human labels that it does not learn from, "
         "at the end of each epoch; the lowest epoch is kept."),
    )
)  # fmt: skip
BY_CONFIDENCE = {
    "accuracies": ("Which pairs does it learn?", "The reward accuracy of the least, the middle and the most confident "
                   "third of the pairs."),
    "margins": ("By how much, by confidence?", "The reward margin of the same thirds, in nats."),
}  # fmt: skip


def _way() -> tuple[Way, bool]:
    """How the curves are drawn, and whether over the full width; each choice is bound to the address."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        smoothing = st.select_slider(
            "Smoothing", SMOOTHINGS, key="curve_smoothing", bind="query-params", width=140,
            format_func=lambda weight: f"{weight:g}" if weight else "none",
            help="Exponential moving mean with this weight on what came before; what was measured stays behind it.",
        )  # fmt: skip
        log = st.toggle("Log scale", key="curve_log", bind="query-params", help="Values of 0 and below are not drawn.")
        wide = st.toggle("Full width", key="curve_wide", bind="query-params")
        steps = choose_steps()
    chosen = Way(smoothing=float(smoothing), log=bool(log), zoom=True, steps=steps, height=340 if wide else 220)
    return chosen, bool(wide)


def show_run_curves(row: RunRow, stages: Sequence[StageRow], beside: DeltaGenerator) -> None:
    """Side by side where there is room, in the column `beside` or below it over the full width; a panel appears with
    its first point."""
    slots = {stage.slot: stage.stage_id for stage in stages if stage.slot in {panel.slot for panel in PANELS}}
    if not slots:
        return
    names = sorted({panel.metric for panel in PANELS if panel.slot in slots})
    names += [name for metric in BY_CONFIDENCE for name in confidence_bins.names(metric)]
    with results.reading() as session:
        table = queries.metrics(session, list(slots.values()), names=names, max_points=POINTS)
    points = _curves(table)
    there = {panel.title: panel for panel in PANELS if (slots.get(panel.slot), panel.metric) in points}
    if not there:
        beside.caption("Curves appear with the first training step.")
        return
    with beside:
        chosen, wide = _way()
    if chosen.steps is not None:
        with results.reading() as session:
            closer = queries.metrics(session, list(slots.values()), names, max_points=POINTS, between=chosen.steps)
        points |= _curves(pd.concat([table[~table["step"].between(*chosen.steps)], closer]))
    with st.container() if wide else beside:
        _show_panels(row, slots, points, there, chosen)


def _curves(table: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    """The points of each curve, by stage and name."""
    return dict(iter(table.groupby(["stage_id", "name"], sort=False)))


def _show_panels(
    row: RunRow, slots: Mapping[str, int], points: Mapping[Any, pd.DataFrame], there: Mapping[str, Panel], chosen: Way
) -> None:
    """`points`: of each curve, by stage and name."""
    shown = _chosen({panel.title: panel for panel in PANELS if panel.slot in slots}, there)
    grid = st.grid(2, min_column_width=200)
    for panel in shown:
        with grid.cell():
            line = (slot_name(panel.slot), row.method, points[slots[panel.slot], panel.metric])
            key = f"curve_{panel.slot}_{panel.metric}"
            show_chart("training_curves", [line], key=key, title=panel.title, about=panel.about, metric=panel.metric,
                       way=chosen, on_select=partial(dragged, key), by="box")  # fmt: skip
    for metric, (title, about) in BY_CONFIDENCE.items():
        bins = [(slots.get("align"), name) for name in confidence_bins.names(metric)]
        if found := [points[key] for key in bins if key in points]:
            with grid.cell():
                line = (slot_name("align"), row.method, pd.concat(found))
                key = f"bins_{metric}"
                show_chart("confidence_bins", [line], key=key, title=title, about=about, metric=metric, way=chosen,
                           on_select=partial(dragged, key), by="box")  # fmt: skip
    layout.note("Drag over a curve to see these steps in all of them.")


def _chosen(offered: Mapping[str, Panel], there: Mapping[str, Panel]) -> list[Panel]:
    """The curves that were asked for and have points, by default the most telling ones."""
    titles = st.multiselect(
        "Curves", list(offered), key="curves", bind="query-params", placeholder="the most telling",
        label_visibility="collapsed", wrap=True,
    )  # fmt: skip
    return [there[title] for title in titles if title in there] or list(there.values())[:SHOWN]
