"""What the Annotators page says, and scaled confidence, by hand."""

import numpy as np
import pandas as pd
import pytest

from cwpo.annotation.summary import judged
from cwpo.report.labels import annotators
from cwpo.statistics import calibration
from db.records import (
    AnnotatorRow,
    AttributeGroup,
    ConfidenceHistogram,
    Interval,
    Judged,
    LabelSummary,
    Rival,
)

ROW = AnnotatorRow(
    stage_id=1, run_id=2, runs=3, dataset="sandbox", model="models/opt-32", label_fraction=0.3, seed=4,
    n=100, accuracy_human=0.7, accuracy_truth=None, kind="bradley_terry", members=1, passes=1, label_dropout=0.0,
    existing=False,
    temperature=None,
)  # fmt: skip


def labels(slope: float, pairs: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Margins, and labels that are right with probability σ(slope · Δ): calibrated at slope 1."""
    dice = np.random.default_rng(0)
    margins = dice.exponential(1.5, pairs)
    return margins, dice.random(pairs) < 1 / (1 + np.exp(-slope * margins))


def of_margins(margins: np.ndarray, agrees: np.ndarray, prompts: np.ndarray | None = None) -> pd.DataFrame:
    """Margins as they are read; each pair has a prompt of its own unless they are given."""
    own = np.arange(len(margins)) if prompts is None else prompts
    return pd.DataFrame({"margin": margins, "agrees": agrees, "prompt": own.astype(np.uint64)})


def summary_of(slope: float, lead: tuple[float, float] = (0.01, 0.05)) -> LabelSummary:
    margins, right = labels(slope)
    sure = calibration.confidence(margins)
    rivals = [
        Rival(name=name, accuracy=Interval(estimate=0.5 + step, low=0.5, high=0.6), lead=Interval(
            estimate=sum(lead) / 2, low=lead[0], high=lead[1]))
        for name, step in (("length", 0.01), ("bag of words", 0.06))
    ]  # fmt: skip
    found = Judged.from_summary(judged(sure, right.astype(float)) or {})
    return LabelSummary(
        run_id=1, stage_id=1, fingerprint="f", n=len(sure), accuracy_human=float(right.mean()), accuracy_truth=None,
        human_accuracy_truth=None, length_only_accuracy=0.51, mean_confidence=float(sure.mean()),
        effective_sample_size=1.0, histogram=ConfidenceHistogram(edges=(), counts=(), agree_counts=()), deciles=(),
        human=found, rivals=tuple(rivals),
        attributes=(
            AttributeGroup(
                family="prompt", value="question", n=1000, confidence=float(sure.sum()) / 2, humans=1000, agree=800,
                truths=0, correct=0,
            ),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("slope", "means", "bins"),
    [
        (1.0, "On average it states what it knows", "it looks calibrated"),
        (0.3, "It overstates what it knows", "it is not calibrated"),
        (3.0, "It understates what it knows", "it is not calibrated"),
    ],
)
def test_the_verdict_follows_the_intervals(slope: float, means: str, bins: str) -> None:
    said = annotators.verdict(summary_of(slope), "human")
    assert means in said
    assert bins in said


@pytest.mark.parametrize(
    ("lead", "said"),
    [
        ((0.01, 0.05), "knows more than bag of words"),
        ((-0.05, -0.01), "knows less than bag"),
        ((-0.01, 0.01), "cannot be told"),
    ],
)
def test_a_lead_counts_only_where_its_interval_leaves_out_zero(lead: tuple[float, float], said: str) -> None:
    """The strongest rival is the one that is named."""
    assert said in annotators.verdict(summary_of(1.0, lead), "human")


def test_the_truth_is_not_held_against_rivals_of_the_humans() -> None:
    assert annotators.verdict(summary_of(1.0), "truth") == ""


def test_the_right_temperature_calibrates_and_changes_weights_but_no_label() -> None:
    """Margins three times too large: T = 3 makes ECE small and mean C equal to 2·accuracy − 1."""
    margins, right = labels(1.0)
    found = annotators.scaling(of_margins(3 * margins, right), 3.0, Judged.from_summary)
    assert found is not None
    raw, scaled = found.raw.judged, found.scaled.judged
    assert raw.ece > raw.ece_null_high
    assert scaled.ece < scaled.ece_null_high
    assert scaled.gap.low < 0 < scaled.gap.high
    assert raw.gap.low > 0
    assert raw.accuracy == scaled.accuracy
    assert raw.aurc == pytest.approx(scaled.aurc)
    assert scaled.mean_confidence.estimate == pytest.approx(np.tanh(margins / 2).mean())
    weights = np.tanh(margins / 2)
    assert found.scaled.effective == pytest.approx(weights.sum() ** 2 / (weights**2).sum() / len(weights))
    assert found.scaled.effective < found.raw.effective
    assert annotators.scaling(of_margins(margins[:0], right[:0]), 3.0, Judged.from_summary) is None


def test_pairs_of_one_prompt_widen_the_intervals_of_scaled_confidence() -> None:
    """Each pair four times over, once as four prompts and once as one: half as many prompts again is twice as wide."""
    margins, right = (np.repeat(values, 4) for values in labels(1.0, 1000))
    alone = annotators.scaling(of_margins(margins, right), 2.0, Judged.from_summary)
    together = annotators.scaling(of_margins(margins, right, np.repeat(np.arange(1000), 4)), 2.0, Judged.from_summary)
    assert alone is not None
    assert together is not None
    for name in ("raw", "scaled"):
        for figure in ("accuracy", "gap", "mean_confidence"):
            narrow, wide = (getattr(getattr(found, name).judged, figure) for found in (alone, together))
            assert wide.estimate == narrow.estimate
            assert wide.high - wide.low == pytest.approx(2 * (narrow.high - narrow.low), rel=0.01)


def test_groups_are_shares_of_pairs_and_of_weight() -> None:
    """1,000 of 4,000 pairs with half of ΣC: a quarter of the pairs, half of the weight, twice the mean C."""
    summary = summary_of(1.0)
    (group,) = annotators.groups(summary, "human")
    assert (group.pairs_share, group.accuracy) == (0.25, 0.8)
    assert (group.weight_share, group.relative) == pytest.approx((0.5, 2.0))
    assert group.mean_confidence == pytest.approx(2 * summary.mean_confidence)
    assert group.low is not None
    assert group.low < 0.8
    assert annotators.groups(summary, "truth")[0].accuracy is None


def test_names_say_what_trained_it() -> None:
    assert annotators.annotator_name(ROW) == "opt-32 · Bradley–Terry · seed 4"
    many = AnnotatorRow(**{**ROW.__dict__, "members": 4, "passes": 8, "label_dropout": 0.1, "kind": "joint"})
    assert annotators.kind_name(many) == "joint encoder × 4, dropout 0.1 × 8"
    other = AnnotatorRow(**{**ROW.__dict__, "kind": "implicit", "existing": True})
    assert annotators.kind_name(other) == "implicit reward, of another run"
