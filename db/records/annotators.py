"""What a labels stage found out about its annotator, for the Annotators page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Pairs of similar confidence; p = (1 + C)/2 is what the annotator states."""

    lo: float
    hi: float
    n: int
    mean_confidence: float
    accuracy: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Accuracy and calibration against one judge. `gap` is mean C − (2·accuracy − 1); `ece_null` and `ece_null_high`
    are mean and 95 % value of the ECE of a calibrated annotator at this n."""

    n: int
    accuracy: Interval
    mean_confidence: Interval
    gap: Interval
    bins: tuple[ReliabilityBin, ...]
    ece: float
    ece_null: float
    ece_null_high: float
    brier: float
    log_loss: float
    auroc: float | None
    aurc: float
    augrc: float
    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    auroc_low: float | None = None  # labels of an older version have none
    auroc_high: float | None = None

    @classmethod
    def from_summary(cls, found: Mapping[str, Any]) -> "Judged":
        """As a labels stage stores it."""
        intervals = {name: Interval(**found[name]) for name in ("accuracy", "mean_confidence", "gap")}
        curve = {name: tuple(found[name]) for name in ("coverage", "risk")}
        return cls(**{**found, **intervals, **curve, "bins": tuple(ReliabilityBin(**one) for one in found["bins"])})


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A rule that does not read, on the same hidden labels; `lead` is what the annotator has over it."""

    name: str
    accuracy: Interval
    lead: Interval


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of the pairs: of one source, or a third by how many characters the two answers differ in."""

    name: str
    n: int
    accuracy: Interval
    mean_confidence: float
    weight_share: float
    ece: float
    ece_null_high: float


@dataclass(frozen=True, kw_only=True)
class AttributeGroup:
    """Sums over the pairs of one group of a family; humans and truths are the pairs whose label is known."""

    family: str
    value: str
    n: int
    confidence: float
    humans: int
    agree: int
    truths: int
    correct: int
    human_effect: float | None = 1.0  # design effect of pairs that share prompts, on the judged pairs; None: too few
    truth_effect: float | None = 1.0


@dataclass(frozen=True, kw_only=True)
class SpreadCell:
    """Pairs of one third by margin (0: closest), and in it those below or above the median disagreement."""

    third: int
    unsure: bool
    n: int
    margin: float
    spread: float
    accuracy: Interval


@dataclass(frozen=True, kw_only=True)
class Unsure:
    """Disagreement among annotators or passes beside the margin: which of the two tells wrong labels apart."""

    auroc_spread: float | None
    auroc_confidence: float | None
    cells: tuple[SpreadCell, ...]
    auroc_spread_low: float | None = None  # labels of an older version have no intervals
    auroc_spread_high: float | None = None
    auroc_confidence_low: float | None = None
    auroc_confidence_high: float | None = None

    @classmethod
    def from_summary(cls, found: Mapping[str, Any]) -> "Unsure":
        """As a labels stage stores it."""
        cells = tuple(SpreadCell(**{**cell, "accuracy": Interval(**cell["accuracy"])}) for cell in found["cells"])
        return cls(**{**found, "cells": cells})


@dataclass(frozen=True, kw_only=True)
class AnnotatorRow:
    """A labels stage with what trained its annotator. `run_id` is the newest run that uses it, `runs` how many do;
    `existing`: trained by another run, and `temperature` is None where no calibration stage fitted one."""

    stage_id: int
    run_id: int
    runs: int
    dataset: str
    model: str | None
    label_fraction: float
    seed: int
    n: int
    accuracy_human: float | None
    accuracy_truth: float | None
    kind: str
    members: int
    passes: int
    label_dropout: float
    existing: bool
    temperature: float | None
