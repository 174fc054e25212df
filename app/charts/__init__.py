"""One file per chart, with `prepare(rows) -> data` and `draw(data, look) -> Figure`, both pure."""

from collections.abc import Mapping
from types import ModuleType

from app.charts import (
    along,
    blind_spots,
    confidence_bins,
    confidence_deciles,
    confidence_histogram,
    gain_by_annotator,
    gra_by_kl,
    gra_forest,
    gra_kl_frontier,
    margin_spread,
    matched_gap,
    paper_cells,
    parallel,
    part_accuracy,
    reliability,
    reweighting,
    risk_coverage,
    text_lengths,
    top_share,
    training_curves,
    transfer,
)

CHARTS: Mapping[str, ModuleType] = {
    "gra_forest": gra_forest,
    "gra_by_kl": gra_by_kl,
    "gain_by_annotator": gain_by_annotator,
    "gra_kl_frontier": gra_kl_frontier,
    "matched_gap": matched_gap,
    "blind_spots": blind_spots,
    "along": along,
    "confidence_bins": confidence_bins,
    "confidence_histogram": confidence_histogram,
    "confidence_deciles": confidence_deciles,
    "reliability": reliability,
    "risk_coverage": risk_coverage,
    "reweighting": reweighting,
    "part_accuracy": part_accuracy,
    "margin_spread": margin_spread,
    "text_lengths": text_lengths,
    "top_share": top_share,
    "parallel": parallel,
    "paper_cells": paper_cells,
    "training_curves": training_curves,
    "transfer": transfer,
}
