"""The answer about an annotator in large figures, each beside what it is to be held against."""

from collections.abc import Mapping

import streamlit as st

from app import untrusted
from app.components.frame.address import Judge
from cwpo.report.document.meanings import CONFIDENCE_IN_WORDS
from cwpo.report.numbers import interval, number, percent, points, points_interval
from db.records import Judged, LabelSummary

Card = tuple[str, str, str]
MEANINGS: Mapping[str, str] = {
    "accuracy": "Share of the labels that agree with the judge's.",
    "mean C": f"{CONFIDENCE_IN_WORDS} Of a calibrated annotator the mean of C is 2·accuracy − 1.",
    "ECE": "Expected calibration error: how far stated and true accuracy lie apart, on average over bins of similar "
    "confidence. Of few pairs it is above 0 even where the annotator is calibrated, which the line below says.",
    "AUROC of C": "How often a right label has more confidence than a wrong one: 0.5 by chance, 1 always.",
    "effective pairs": "As many pairs of equal weight are worth as much as these with the weight C.",
}
RIVAL = "How often this rule, which does not read the responses, agrees with the human labels."


def show_annotator_cards(summary: LabelSummary, judged: Judged, judge: Judge) -> None:
    """Accuracy beside its rivals, stated beside fair, calibration error beside its null value."""
    cards = [
        _accuracy(judged),
        *(_rivals(summary) if judge == "human" else ()),
        *_calibration(judged),
        _effective(summary),
    ]
    grid = st.grid(len(cards), min_column_width=120)
    for label, value, caption in cards:
        with grid.cell(), st.container(gap="xxsmall"):
            st.metric(untrusted.label(label), value, help=MEANINGS.get(label, RIVAL))
            st.caption(untrusted.label(caption, 80))


def _accuracy(judged: Judged) -> Card:
    return "accuracy", percent(judged.accuracy.estimate), f"95 % {interval(judged.accuracy.low, judged.accuracy.high)}"


def _rivals(summary: LabelSummary) -> list[Card]:
    """Rules that do not read, on the hidden human labels."""
    return [
        (f"{rival.name} alone", percent(rival.accuracy.estimate), f"annotator {points(rival.lead.estimate)} ("
         f"{points_interval(rival.lead.low, rival.lead.high)})")
        for rival in summary.rivals
    ]  # fmt: skip


def _calibration(judged: Judged) -> list[Card]:
    low, high = (2 * bound - 1 for bound in (judged.accuracy.low, judged.accuracy.high))
    fair = 2 * judged.accuracy.estimate - 1
    return [
        ("mean C", number(judged.mean_confidence.estimate),
         f"2·accuracy − 1: {number(fair)} ({number(low)} to {number(high)})"),
        ("ECE", number(judged.ece, 3), f"calibrated: {number(judged.ece_null, 3)}, 95 % below "
         f"{number(judged.ece_null_high, 3)}"),
        ("AUROC of C", number(judged.auroc), _sorts(judged)),
    ]  # fmt: skip


def _sorts(judged: Judged) -> str:
    null = "0.50: C does not sort"
    return (
        null if judged.auroc_low is None else f"95 % {number(judged.auroc_low)} – {number(judged.auroc_high)}; {null}"
    )


def _effective(summary: LabelSummary) -> Card:
    if summary.effective_sample_size is None:
        return "effective pairs", number(None), ""
    share = summary.effective_sample_size / summary.n
    return (
        "effective pairs",
        number(summary.effective_sample_size, 0),
        f"(Σ C)² / Σ C², {percent(share)} of {summary.n:,}",
    )
