"""Annotators that have a name, with what they were trained on and what is known of their labels."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class LabelFigures:
    """What one labels stage of the annotator found: on which data, and how right it was there. `ece` is None where the
    stage did not keep it."""

    stage_id: int
    dataset: str
    n: int
    accuracy_human: float | None
    accuracy_truth: float | None
    mean_confidence: float | None
    ece: float | None


@dataclass(frozen=True, kw_only=True)
class NamedAnnotatorRow:
    """One version of a name. `pairs`: human labels it learned from; `temperature`: fitted for its twin, if at all."""

    name: str
    version: int
    note: str
    created_at: datetime
    stage_id: int
    fingerprint: str
    stored: bool  # its stage is done and its artifact was not deleted
    kind: str
    model: str
    revision: str | None
    dataset: str
    dataset_revision: str | None
    label_fraction: float
    seed: int
    split_seed: int
    pairs: int | None
    temperature: float | None
    figures: tuple[LabelFigures, ...]

    @property
    def key(self) -> str:
        """How a configuration and the command line write it."""
        return f"{self.name}@{self.version}"

    @property
    def judged(self) -> LabelFigures | None:
        """The first labels it gave that human labels judge."""
        return next((one for one in self.figures if one.accuracy_human is not None), None)


@dataclass(frozen=True, kw_only=True)
class LearnedFrom:
    """What an annotator learned from: a dataset at a revision, its subset, and the sources of it that were named."""

    fingerprint: str
    dataset: str
    revision: str | None
    subset: str | None
    sources: tuple[str, ...]
