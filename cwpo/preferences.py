"""Labeled pairs for SFT and alignment: the pairs of a part, with labels of the humans, the annotator or the truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cwpo.data import load_part
from cwpo.errors import DataError
from cwpo.execute import StageContext
from cwpo.records import CandidatePair, PreferencePair

ANNOTATIONS_FILE = "annotations.parquet"


def preference_pairs(ctx: StageContext) -> list[PreferencePair]:
    """The part that the stage reads, labeled by its label source; pairs without a label are left out and logged."""
    config = ctx.config
    part = load_part(ctx.inputs["data"], config["part"], config)
    source = config["label_source"]
    if source == "weak":
        labeled = _weakly_labeled(part, ctx.inputs["labels"])
    else:
        labeled = [_labeled(pair, source) for pair in part if _label(pair, source) is not None]
    if not labeled:
        raise DataError(f"No pair of the {config['part']} part has a {source} label: choose another method or dataset.")
    if len(labeled) < len(part):
        ctx.reporter.log(f"{len(part) - len(labeled)} of {len(part)} pairs have no {source} label and are left out.")
    return labeled


def _label(pair: CandidatePair, source: str) -> str | None:
    return pair.human_label if source == "human" else pair.true_label


def _labeled(pair: CandidatePair, source: Any) -> PreferencePair:
    label: Any = _label(pair, source)
    return PreferencePair(pair=pair, label=label, source=source)


def _weakly_labeled(part: list[CandidatePair], directory: Path) -> list[PreferencePair]:
    columns = pq.read_table(directory / ANNOTATIONS_FILE, columns=["pair_id", "label", "margin"]).to_pydict()
    said: Mapping[str, tuple[Any, float]] = {
        pair_id: (label, margin)
        for pair_id, label, margin in zip(columns["pair_id"], columns["label"], columns["margin"], strict=True)
    }
    return [
        PreferencePair(pair=pair, label=said[pair.pair_id][0], source="weak", margin=said[pair.pair_id][1])
        for pair in part
        if pair.pair_id in said
    ]
