"""Our figures for the paper's metrics, by hand: what a histogram of C says, whose seconds count, who met whom."""

from typing import Any

import pandas as pd
import pytest

from cwpo.compare.head_to_head import DIFFERENT_JUDGES, HeadToHead
from cwpo.paper.measured import of_labels, of_pair, of_seconds
from db.records import ConfidenceHistogram, Interval, Judged, LabelSummary

EDGES = (0.0, 0.1, 0.5, 0.9, 1.0)


def summary(*counts: int, mean: float = 0.4, accuracy: float = 0.6, judged: Judged | None = None) -> LabelSummary:
    """Labels whose C fell into these four bins."""
    return LabelSummary(
        run_id=1, stage_id=1, fingerprint="f", n=sum(counts), accuracy_human=accuracy, accuracy_truth=None,
        human_accuracy_truth=None, length_only_accuracy=None, mean_confidence=mean, effective_sample_size=None,
        histogram=ConfidenceHistogram(edges=EDGES, counts=counts, agree_counts=counts), deciles=(), human=judged,
    )  # fmt: skip


def judge(low: float, high: float) -> Judged:
    whole = Interval(estimate=0.4, low=low, high=high)
    return Judged(
        n=100, accuracy=whole, mean_confidence=whole, gap=whole, bins=(), ece=0.1, ece_null=0.1, ece_null_high=0.1,
        brier=0.2, log_loss=0.6, auroc=None, aurc=0.4, augrc=0.2, coverage=(), risk=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("below_0.1", 0.2),
        ("below_0.5", 0.5),
        ("above_0.9", 0.1),
        ("median_confidence", 0.5),  # 20 + 30 of 100 pairs lie below it
        ("mean_confidence", 0.4),
        ("accuracy", 0.6),
    ],
)
def test_figures_of_one_labels_stage(metric: str, value: float) -> None:
    found = of_labels(metric, [summary(20, 30, 40, 10)])
    assert found is not None
    assert found.estimate == pytest.approx(value)
    assert (found.n_prompts, found.n_seeds) == (100, 1)


def test_the_median_lies_inside_its_bin() -> None:
    """Of 100 pairs 20 lie below 0.1 and 40 from there to 0.5: the 50th is three quarters of the way."""
    found = of_labels("median_confidence", [summary(20, 40, 30, 10)])
    assert found is not None
    assert found.estimate == pytest.approx(0.1 + 0.75 * 0.4)
    assert (found.low, found.high) == (None, None)


def test_a_share_of_one_seed_has_wilsons_interval_and_the_mean_the_stated_one() -> None:
    """50 of 100: 40.4 to 59.6 %."""
    share = of_labels("below_0.5", [summary(20, 30, 40, 10)])
    assert share is not None
    assert (share.low, share.high) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    stated = of_labels("mean_confidence", [summary(20, 30, 40, 10, judged=judge(0.35, 0.45))])
    assert stated is not None
    assert (stated.low, stated.high) == (0.35, 0.45)
    bare = of_labels("mean_confidence", [summary(20, 30, 40, 10)])
    assert bare is not None
    assert (bare.low, bare.high) == (None, None)


def test_seeds_give_an_interval_over_seeds_and_pairs() -> None:
    """.38, .40, .42 of 100 pairs: at least that of 100 pairs, 30.9 to 49.8 %."""
    found = of_labels("mean_confidence", [summary(20, 30, 40, 10, mean=mean) for mean in (0.38, 0.40, 0.42)])
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.309 < 0.498 < found.high
    assert found.n_seeds == 3


def test_labels_without_a_figure_answer_nothing() -> None:
    assert of_labels("mean_confidence", []) is None
    assert of_labels("below_0.5", [summary(0, 0, 0, 0)]) is None
    assert of_labels("median_confidence", [summary(0, 0, 0, 0)]) is None


def stages(*rows: tuple[int, str, int, float]) -> pd.DataFrame:
    names = ["run_id", "slot", "stage_id", "seconds"]
    return pd.DataFrame(rows, columns=names).assign(device="cpu")


def test_seconds_are_those_of_training_and_count_once() -> None:
    """The weak model of ws: SFT 30, reference 5 and DPO 65, of two runs; a third took 120. Labels do not count."""
    table = stages(
        (1, "annotator_sft", 1, 30.0), (1, "annotator_reference", 2, 5.0), (1, "annotator", 3, 65.0),
        (1, "labels", 4, 900.0), (1, "sft", 5, 900.0),
        (2, "annotator_sft", 1, 30.0), (2, "annotator_reference", 2, 5.0), (2, "annotator", 3, 65.0),
        (3, "annotator_sft", 6, 40.0), (3, "annotator_reference", 7, 5.0), (3, "annotator", 8, 75.0),
    )  # fmt: skip
    found = of_seconds(table, "OPT 125M · HH")
    assert found is not None
    assert (found.estimate, found.n_seeds, found.low, found.about) == (110.0, 2, None, "OPT 125M · HH · cpu")
    assert of_seconds(table[table["slot"] == "labels"], "") is None


def test_two_settings_that_cannot_meet_have_no_share() -> None:
    about: dict[str, Any] = {"first_label": "CW", "second_label": "Human"}
    assert of_pair(HeadToHead(**about, reason=DIFFERENT_JUDGES)) is None
    met = of_pair(HeadToHead(**about, share=0.6, low=0.5, high=0.7, n_prompts=12, n_seeds=2))
    assert met is not None
    assert (met.estimate, met.low, met.high, met.n_prompts, met.n_seeds) == (0.6, 0.5, 0.7, 12, 2)
