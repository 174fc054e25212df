"""Our figures for the paper's metrics, by hand: what a histogram of C says, whose seconds count, who met whom."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cwpo.compare.head_to_head import DIFFERENT_JUDGES, HeadToHead
from cwpo.paper.measured import of_labels, of_pair, of_seconds
from cwpo.paper.verdict import over_seeds
from cwpo.statistics.calibration import Mean, accuracy
from cwpo.statistics.shares import wilson, worth_of
from db.records import ConfidenceHistogram, Interval, Judged, LabelSummary

EDGES = (0.0, 0.1, 0.5, 0.9, 1.0)


def summary(*counts: int, mean: float = 0.4, accuracy: float = 0.6, judged: Judged | None = None) -> LabelSummary:
    """Labels whose C fell into these four bins."""
    return LabelSummary(
        run_id=1, stage_id=1, fingerprint="f", n=sum(counts), accuracy_human=accuracy, accuracy_truth=None,
        human_accuracy_truth=None, length_only_accuracy=None, mean_confidence=mean, effective_sample_size=None,
        histogram=ConfidenceHistogram(edges=EDGES, counts=counts, agree_counts=counts), deciles=(), human=judged,
    )  # fmt: skip


def judge(low: float, high: float, *, n: int = 100, accuracy: Mean | None = None) -> Judged:
    whole = Interval(estimate=0.4, low=low, high=high)
    right = Interval(**asdict(accuracy)) if accuracy else whole
    return Judged(
        n=n, accuracy=right, mean_confidence=whole, gap=whole, bins=(), ece=0.1, ece_null=0.1, ece_null_high=0.1,
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


def test_pairs_of_one_prompt_count_for_less_in_the_accuracy() -> None:
    """Of 40 prompts 24 are right with all of their five pairs: as 40 pairs, of which 24 are right, and not as 200. More
    pairs than those with a human label say nothing."""
    right = np.repeat([1.0] * 24 + [0.0] * 16, 5)
    stated = accuracy(right, np.repeat(np.arange(40), 5))
    judged = judge(0.35, 0.45, n=200, accuracy=stated)
    one = of_labels("accuracy", [summary(200, 300, 400, 100, judged=judged)])
    assert one is not None
    assert (one.low, one.high) == pytest.approx((stated.low, stated.high), abs=1e-9)
    assert one.n_prompts == 200
    assert (one.low, one.high) == pytest.approx((0.446, 0.737), abs=2e-3)  # Wilson's of 24 of 40
    three = [summary(200, 300, 400, 100, accuracy=share, judged=judged) for share in (0.59, 0.6, 0.61)]
    several, bare = of_labels("accuracy", three), over_seeds([0.59, 0.6, 0.61], 1000)
    assert several is not None
    assert several.half_width > 0.14 > 2 * bare.half_width
    assert several.another is not None
    assert several.another > several.half_width


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_what_an_interval_is_worth_is_read_off_it(share: float) -> None:
    assert worth_of(share, *wilson(share, 37.5)) == pytest.approx(37.5)
    assert worth_of(0.5, 0.5, 0.5) is None


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
