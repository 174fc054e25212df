"""Labeled pairs for SFT and alignment: the pairs of a part, with labels of the humans, the annotator or the truth."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cwpo.data.pairs import load_part
from cwpo.data.relabels import labels_of
from cwpo.errors import DataError
from cwpo.records import CandidatePair, PreferencePair
from cwpo.stages.context import StageContext
from cwpo.stages.settings import AlignSettings, PreferenceSettings

ANNOTATIONS_FILE = "annotations.parquet"


def preference_pairs(ctx: StageContext[PreferenceSettings]) -> list[PreferencePair]:
    """The part that the stage reads, labeled by its label source; pairs without a label are left out and logged."""
    settings, source = ctx.settings, ctx.settings.label_source
    part = load_part(ctx.inputs["data"], settings.part, settings, labels_of(ctx))
    if source == "weak":
        labeled = _weakly_labeled(part, ctx.inputs["labels"])
    else:
        labeled = [_labeled(pair, source) for pair in part if _label(pair, source) is not None]
    if not labeled:
        raise DataError(f"No pair of the {settings.part} part has a {source} label: choose another method or dataset.")
    if len(labeled) < len(part):
        ctx.reporter.log(f"{len(part) - len(labeled)} of {len(part)} pairs have no {source} label and are left out.")
    return labeled


def weighed_pairs(ctx: StageContext[AlignSettings]) -> list[PreferencePair]:
    """The same pairs with the annotator's margins, also where it weighs labels that are not its own.

    A margin is its size alone, |Δ|: how sure the annotator is of its own label, whether or not it is the one that is
    learned from. So a pair weighs the same whoever labels it; a weight with a sign would bring the annotator's label in
    by the back door. Pairs that the annotator could not read are left out and logged.
    """
    labeled = preference_pairs(ctx)
    if ctx.settings.label_source == "weak" or "labels" not in ctx.inputs:
        return labeled
    said = _said(ctx.inputs["labels"])
    known = [item for item in labeled if item.pair.pair_id in said]
    if not known:
        raise DataError("The annotator labeled no pair that has a label of another: choose another method or dataset.")
    if len(known) < len(labeled):
        ctx.reporter.log(f"{len(labeled) - len(known)} pairs have no margin of the annotator and are left out.")
    return [replace(item, **{**said[item.pair.pair_id], "label": item.label}) for item in known]


def _label(pair: CandidatePair, source: str) -> str | None:
    return pair.human_label if source == "human" else pair.true_label


def _labeled(pair: CandidatePair, source: Any) -> PreferencePair:
    label: Any = _label(pair, source)
    return PreferencePair(pair=pair, label=label, source=source)


def _said(directory: Path) -> Mapping[str, dict[str, Any]]:
    """Pair id -> label, margin, its spread, and the share of votes for the label where they were counted."""
    names = ["label", "margin", "spread"]
    names += ["agreement"] if "agreement" in pq.read_schema(directory / ANNOTATIONS_FILE).names else []
    rows = pq.read_table(directory / ANNOTATIONS_FILE, columns=["pair_id", *names]).to_pylist()
    return {row.pop("pair_id"): row for row in rows}


def _weakly_labeled(part: list[CandidatePair], directory: Path) -> list[PreferencePair]:
    said = _said(directory)
    return [PreferencePair(pair=pair, source="weak", **said[pair.pair_id]) for pair in part if pair.pair_id in said]
