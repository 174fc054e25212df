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
    margins = (said[item.pair.pair_id][1:] for item in known)
    return [replace(item, margin=margin, spread=spread) for item, (margin, spread) in zip(known, margins, strict=True)]


def _label(pair: CandidatePair, source: str) -> str | None:
    return pair.human_label if source == "human" else pair.true_label


def _labeled(pair: CandidatePair, source: Any) -> PreferencePair:
    label: Any = _label(pair, source)
    return PreferencePair(pair=pair, label=label, source=source)


def _said(directory: Path) -> Mapping[str, tuple[Any, float, float | None]]:
    """Pair id -> label, margin and its spread."""
    names = ["pair_id", "label", "margin", "spread"]
    columns = pq.read_table(directory / ANNOTATIONS_FILE, columns=names).to_pydict()
    return {
        pair_id: (label, margin, spread)
        for pair_id, label, margin, spread in zip(*(columns[name] for name in names), strict=True)
    }


def _weakly_labeled(part: list[CandidatePair], directory: Path) -> list[PreferencePair]:
    said, labeled = _said(directory), []
    for pair in part:
        if pair.pair_id in said:
            label, margin, spread = said[pair.pair_id]
            labeled.append(PreferencePair(pair=pair, label=label, source="weak", margin=margin, spread=spread))
    return labeled
