"""What of the data a run used: rows dropped by reason, texts cut at each model's context, the annotator's worth."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.frame import layout, tables
from app.components.frame.tables import Cell, Column
from cwpo.config.catalog import short_name
from cwpo.report.dropped import cuts, data_sentence, judged_pairs, left_out_sentence, rejected_rows
from cwpo.report.listings import fields_of
from cwpo.report.numbers import count, number, percent
from cwpo.stages.graph import slot_name
from db.records import StageRow

CUTS = (
    Column(label="stage", whole=True),
    Column(label="model", limit=60),
    Column(label="prompts cut", figures=True),
    Column(label="pairs that do not fit", figures=True),
    Column(label="with control tokens", figures=True),
)
OF_CUTS = (
    ("prompts cut", "Texts that were longer than the model's context, and lost the left end of their prompt."),
    ("pairs that do not fit", "Pairs with a response that alone is longer than it; they are dropped."),
    ("with control tokens", "Texts in which a control token of the tokenizer is written; it is read as text."),
)
OF_REJECTED = (("line", "Where it stands in the file."), ("what", "What was found there."))
REJECTED = (Column(label="line", figures=True), Column(label="dropped because"), Column(label="what", limit=200))


def show_counts(stages: Sequence[StageRow], files: list[tables.Drawn]) -> None:
    """Nothing is dropped silently: counts by reason with examples, then what each model's context cut."""
    summaries = {stage.slot: stage.summary for stage in stages if stage.summary is not None}
    if "data" not in summaries:
        layout.empty_state("How many rows were read, kept and dropped, and why, is counted here.")
        return
    st.text(data_sentence(summaries["data"], summaries.get("prompts")))
    if labels := summaries.get("labels"):
        st.text(labels_sentence(labels))
    rejected = rejected_rows(summaries["data"])
    left, right = layout.two_columns()
    with left:
        _show_cuts(stages, summaries, files)
    with right:
        if rejected:
            layout.small("Dropped rows, the first of each reason", meanings=OF_REJECTED)
            rows = [[count(row.line), row.reason, row.detail] for row in rejected]
            tables.show_with_file(files, REJECTED, rows, alt="Dropped rows", numbers=lambda: fields_of(rejected))


def labels_sentence(labels: Mapping[str, Any]) -> str:
    """The annotator's accuracy beside what length alone would reach."""
    words = (
        f"The annotator agrees with {percent(labels['accuracy_human'])} of {count(judged_pairs(labels))} hidden human "
        f"labels; length alone with {percent(labels['length_only_accuracy'])}; "
        f"mean confidence {number(labels['mean_confidence'])}."
    )
    return f"{words} {left_out_sentence(labels)}".rstrip()


def _show_cuts(
    stages: Sequence[StageRow], summaries: Mapping[str, Mapping[str, Any]], files: list[tables.Drawn]
) -> None:
    found = cuts(summaries)
    if not found:
        return
    models = {stage.slot: stage.model for stage in stages}
    layout.small("What the context of each model cut", meanings=OF_CUTS)
    rows = [
        [
            slot_name(cut.slot), short_name(models[cut.slot] or ""),
            *map(_amount, (cut.truncated, cut.dropped, cut.control_tokens)),
        ]
        for cut in found
    ]  # fmt: skip
    tables.show_with_file(
        files, CUTS, rows, alt="Texts cut at the context of each model", numbers=lambda: fields_of(found)
    )
    layout.note(
        "Only a prompt's left end is cut; a pair with a response that alone does not fit is dropped. "
        "A control token written in a text is read as text."
    )


def _amount(value: int | None) -> Cell | None:
    return None if value is None else Cell(text=count(value), muted=value == 0)
