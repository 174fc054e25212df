"""What the Annotators page says: the answer in sentences, and the same labels with scaled confidence. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd

from cwpo.annotation.summary import judged
from cwpo.config.catalog import short_name
from cwpo.report.labels.label_records import Annotator, AttributeGroup, Judged, LabelSummary, Rival, Several, Slice
from cwpo.report.numbers import number, points, points_interval
from cwpo.statistics import calibration

J = TypeVar("J", bound=Judged)

JUDGES = {"human": "hidden human labels", "truth": "true labels"}
KINDS = {"bradley_terry": "Bradley–Terry", "joint": "joint encoder", "implicit": "implicit reward"}


@dataclass(frozen=True, kw_only=True)
class Weights(Generic[J]):
    """The labels with one kind of confidence: how right it is, and what it does to the loss."""

    judged: J
    effective: float  # effective sample size as a share of the pairs


@dataclass(frozen=True, kw_only=True)
class Scaling(Generic[J]):
    """Raw and temperature-scaled confidence, C = tanh(Δ/2T), on the same pairs."""

    temperature: float
    pairs: int
    raw: Weights[J]
    scaled: Weights[J]


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group of pairs: its share of all pairs and of the weight, and how often the judge agrees. A group without a
    known label has no accuracy; its interval is Wilson's, pairs of one prompt counting for less,
    and missing where too few of its prompts were judged to say by how much."""

    family: str
    value: str
    pairs: int
    pairs_share: float
    weight_share: float
    mean_confidence: float
    relative: float  # mean C over that of all pairs
    accuracy: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What the accuracy of a part of the pairs is worth, 2·accuracy − 1 with its 95 % interval, and what is stated."""

    name: str
    weight_share: float
    mean_confidence: float
    estimate: float
    low: float
    high: float


def worths(parts: Sequence[Slice]) -> list[Worth]:
    """Each part with the mean confidence that its accuracy would justify."""
    return [
        Worth(
            name=part.name,
            weight_share=part.weight_share,
            mean_confidence=part.mean_confidence,
            estimate=2 * part.accuracy.estimate - 1,
            low=2 * part.accuracy.low - 1,
            high=2 * part.accuracy.high - 1,
        )
        for part in parts
    ]


def groups(summary: LabelSummary, judge: str) -> list[Group]:
    """The groups of a labels stage as shares of all its pairs."""
    total = (summary.mean_confidence or 0.0) * summary.n
    return [_group(row, summary.n, total, judge) for row in summary.attributes]


def scaling(margins: pd.DataFrame, temperature: float, read: Callable[[Mapping[str, Any]], J]) -> Scaling[J] | None:
    """From margins, agreement with the human label, and prompts: pairs of one prompt count for less. None without a
    pair. `read` makes a record of what `label_summary.judged` found."""
    if margins.empty:
        return None
    margin, agrees = margins["margin"].to_numpy(), margins["agrees"].to_numpy(dtype=np.float64)
    prompts = margins["prompt"].to_numpy(dtype=np.uint64)
    raw, scaled = (_weights(calibration.confidence(margin / by), agrees, prompts, read) for by in (1.0, temperature))
    return Scaling(temperature=temperature, pairs=len(margins), raw=raw, scaled=scaled)


def annotator_name(row: Annotator) -> str:
    """OPT-32 · Bradley–Terry × 4 · seed 3."""
    return " · ".join(part for part in (short_name(row.model), kind_name(row), f"seed {row.seed}") if part)


def kind_name(row: Annotator) -> str:
    """Bradley–Terry × 4, dropout 0.4 × 8."""
    words = KINDS.get(row.kind, row.kind.replace("_", " "))
    if row.members > 1:
        words += f" × {row.members}"
    if row.label_dropout > 0:
        words += f", dropout {row.label_dropout:g}" + (f" × {row.passes}" if row.passes > 1 else "")
    return f"{words}, of another run" if row.existing else words


def several(row: Several) -> str:
    """4 annotators, 8 passes, or 4 annotators × 8 passes; nothing where one labeled once."""
    counts = ((row.members, "annotators"), (row.passes, "passes"))
    return " × ".join(f"{count} {what}" for count, what in counts if count > 1)


def verdict(summary: LabelSummary, judge: str) -> str:
    """Can its confidence be trusted? What the intervals support, and no more."""
    found = summary.human if judge == "human" else summary.truth
    if found is None:
        return ""
    return " ".join((*_against(summary.rivals, judge), _stated(found), _binned(found)))


def _weights(
    confidence: np.ndarray, agrees: np.ndarray, prompts: np.ndarray, read: Callable[[Mapping[str, Any]], J]
) -> Weights[J]:
    found = judged(confidence, agrees, prompts)
    assert found is not None  # there is a pair, and each has a human label
    effective = calibration.effective_sample_size(confidence) / len(confidence)
    return Weights(judged=read(found), effective=effective)


def _group(row: AttributeGroup, pairs: int, weight: float, judge: str) -> Group:
    human = (row.humans, row.agree, row.human_effect)
    known, right, effect = human if judge == "human" else (row.truths, row.correct, row.truth_effect)
    low, high = calibration.wilson(right, known, effect) if known and effect else (None, None)
    mean = row.confidence / row.n
    return Group(
        family=row.family,
        value=row.value,
        pairs=row.n,
        pairs_share=row.n / pairs,
        weight_share=row.confidence / weight if weight else 0.0,
        mean_confidence=mean,
        relative=mean * pairs / weight if weight else 1.0,
        accuracy=right / known if known else None,
        low=low,
        high=high,
    )


def _against(rivals: Sequence[Rival], judge: str) -> Iterator[str]:
    """Against the strongest rival, which is judged by human labels alone."""
    if judge != "human" or not rivals:
        return
    best = max(rivals, key=lambda rival: rival.accuracy.estimate)
    lead = f"{points(best.lead.estimate)} points ({points_interval(best.lead.low, best.lead.high)})"
    if best.lead.low > 0:
        yield f"It knows more than {best.name} alone: {lead}."
    elif best.lead.high < 0:
        yield f"It knows less than {best.name} alone: {lead}."
    else:
        yield f"It cannot be told from {best.name} alone: {lead}."


def _stated(found: Judged) -> str:
    gap = found.gap
    means = f"mean C is {number(found.mean_confidence.estimate)}, its accuracy is worth {number(_fair(found))}"
    if gap.low > 0:
        return f"It overstates what it knows: {means}."
    if gap.high < 0:
        return f"It understates what it knows: {means}."
    return f"On average it states what it knows: {means}."


def _binned(found: Judged) -> str:
    return "Bin by bin it is not calibrated." if found.ece > found.ece_null_high else "Bin by bin it looks calibrated."


def _fair(found: Judged) -> float:
    """The mean confidence that this accuracy would justify."""
    return 2 * found.accuracy.estimate - 1
