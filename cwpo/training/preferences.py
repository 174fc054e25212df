"""Labeled pairs for SFT and alignment: the pairs of a part, with labels of the humans, the annotator or the truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cwpo.data.pairs import load_part
from cwpo.data.relabels import labels_of
from cwpo.errors import DataError
from cwpo.records import CandidatePair, PreferencePair
from cwpo.stages.context import StageContext
from cwpo.stages.settings import PreferenceSettings

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


def _label(pair: CandidatePair, source: str) -> str | None:
    return pair.human_label if source == "human" else pair.true_label


def _labeled(pair: CandidatePair, source: Any) -> PreferencePair:
    label: Any = _label(pair, source)
    return PreferencePair(pair=pair, label=label, source=source)


def _weakly_labeled(part: list[CandidatePair], directory: Path) -> list[PreferencePair]:
    names = ["label", "margin", "spread"]
    names += ["agreement"] if "agreement" in pq.read_schema(directory / ANNOTATIONS_FILE).names else []
    columns = pq.read_table(directory / ANNOTATIONS_FILE, columns=["pair_id", *names]).to_pydict()
    said: Mapping[str, tuple[Any, ...]] = dict(
        zip(columns["pair_id"], zip(*(columns[name] for name in names), strict=True), strict=True)
    )
    return [
        PreferencePair(pair=pair, source="weak", **dict(zip(names, said[pair.pair_id], strict=True)))
        for pair in part
        if pair.pair_id in said
    ]
