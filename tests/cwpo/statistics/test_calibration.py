"""Calibration against scikit-learn (1e-9), against closed forms, and against simulation."""

import itertools
import os

import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from statsmodels.stats.proportion import proportion_confint

from cwpo.statistics import calibration


def labels(n: int = 400, *, seed: int = 0, decimals: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Margins, confidences (ties with few decimals) and labels that are right with probability p = (1 + C)/2."""
    rng = np.random.default_rng(seed)
    margins = rng.exponential(1.2, n)
    if decimals is not None:
        margins = margins.round(decimals)
    sure = calibration.confidence(margins)
    return margins, sure, rng.random(n) < (1 + sure) / 2


def test_confidence_is_twice_the_sigmoid_minus_one() -> None:
    margins = np.array([0.0, 0.3, 1.0, 5.0, 800.0])
    assert calibration.confidence(margins) == pytest.approx(2 * (special.expit(margins) - 0.5), abs=1e-15)
    assert calibration.confidence(0.0) == 0


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_scikit_learn(seed: int, decimals: int | None) -> None:
    _, sure, right = labels(seed=seed, decimals=decimals)
    stated = (1 + sure) / 2
    assert calibration.brier(sure, right) == pytest.approx(metrics.brier_score_loss(right, stated), abs=1e-9)
    assert calibration.log_loss(sure, right) == pytest.approx(metrics.log_loss(right, stated), abs=1e-9)
    assert calibration.auroc(sure, right) == pytest.approx(metrics.roc_auc_score(right, sure), abs=1e-9)


def test_log_loss_of_a_certain_and_wrong_label_is_finite_and_equals_scikit_learn() -> None:
    found = calibration.log_loss([1.0, 0.2], [False, True])
    assert found == pytest.approx(metrics.log_loss([False, True], np.array([1.0, 0.6])), abs=1e-9)


def test_auroc_is_unknown_when_every_label_is_right() -> None:
    assert calibration.auroc([0.1, 0.2], [True, True]) is None
    assert calibration.auroc_interval([0.1, 0.2], [True, True]) is None


@pytest.mark.parametrize("decimals", [None, 1])
def test_the_interval_of_auroc_has_delongs_variance_on_the_logit_scale(decimals: int | None) -> None:
    """DeLong, DeLong & Clarke-Pearson 1988: variances of the placements, here from all pairs of right and wrong."""
    _, sure, right = labels(150, decimals=decimals)
    above = (sure[right][:, None] > sure[~right][None]) + 0.5 * (sure[right][:, None] == sure[~right][None])
    variance = above.mean(1).var(ddof=1) / right.sum() + above.mean(0).var(ddof=1) / (~right).sum()
    area = metrics.roc_auc_score(right, sure)
    half = stats.t.ppf(0.975, (~right).sum() - 1) * variance**0.5 / (area * (1 - area))
    wanted = special.expit([special.logit(area) - half, special.logit(area) + half])
    assert calibration.auroc_interval(sure, right) == pytest.approx(tuple(wanted), rel=1e-9)


def test_copies_of_a_pair_say_no_more_of_auroc_than_the_pair() -> None:
    _, sure, right = labels(150)
    thrice = calibration.auroc_interval(np.repeat(sure, 3), np.repeat(right, 3), np.repeat(np.arange(150), 3))
    assert thrice == pytest.approx(calibration.auroc_interval(sure, right), rel=1e-9)


@pytest.mark.parametrize(
    ("prompts", "each", "shift", "least"),
    [(60, 4, 0.0, 0.925), (10, 4, 0.0, 0.90), (150, 1, 3.5, 0.90), (40, 1, 0.0, 0.925)],
)
def test_the_interval_of_auroc_covers(prompts: int, each: int, shift: float, least: float) -> None:
    """Pairs of a prompt share a part of their margin and of their being right; with a shift, hardly any is wrong. The
    truth is that of 40,000 prompts. A draw without an interval covers nothing and is not counted."""
    rng = np.random.default_rng(0)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        clusters = np.repeat(np.arange(count), each)
        shared = 2 * rng.normal(size=count)[clusters]
        sure = shared + rng.normal(size=clusters.size)
        return sure, shared + shift + 2 * rng.normal(size=clusters.size) > 0, clusters

    truth = calibration.auroc(*drawn(40_000)[:2])
    assert truth is not None
    found = [one for _ in range(600) if (one := calibration.auroc_interval(*drawn(prompts))) is not None]
    assert len(found) > 500
    assert least < np.mean([low <= truth <= high for low, high in found]) < 0.99


def test_pairs_of_a_prompt_taken_for_prompts_would_promise_too_much() -> None:
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(60), 10)
    shared = 2 * rng.normal(size=60)[clusters]
    sure, right = shared + rng.normal(size=600), shared + rng.normal(size=600) > 0
    apart, together = calibration.auroc_interval(sure, right), calibration.auroc_interval(sure, right, clusters)
    assert apart is not None
    assert together is not None
    assert together[1] - together[0] > 1.5 * (apart[1] - apart[0])


@pytest.mark.parametrize(
    ("sure", "right", "clusters"),
    [
        ([0.1, 0.2, 0.3], [True, False, True], [7, 7, 7]),
        ([0.1, 0.2, 0.8, 0.9], [False, False, True, True], None),
        ([0.5] * 4, [True, False, True, False], [1, 1, 2, 2]),
        ([0.5, 0.5, 0.7], [True, False, True], None),
    ],
)
def test_auroc_without_anything_that_varies_has_no_interval(
    sure: list[float], right: list[bool], clusters: list[int] | None
) -> None:
    """One prompt; a perfect order; prompts that are all the same; one wrong label."""
    assert calibration.auroc_interval(sure, right, clusters) is None


def test_right_pairs_of_few_prompts_promise_no_more_than_the_prompts() -> None:
    """3 prompts of 100 pairs, all right: as 3 of 3, not 300 of 300. Uneven prompts count by (Σm)²/Σm²."""
    right, clusters = np.ones(300, dtype=bool), np.repeat([1, 2, 3], 100)
    assert calibration.design_effect(right, clusters) == pytest.approx(100)
    assert calibration.accuracy(right, clusters).low == pytest.approx(proportion_confint(3, 3, method="wilson")[0])
    assert calibration.design_effect(np.zeros(4), [1, 1, 1, 2]) == pytest.approx(10 / 4)
    assert calibration.design_effect(right) == 1.0


@pytest.mark.parametrize("decimals", [None, 1])
def test_augrc_equals_its_closed_form(decimals: int | None) -> None:
    """Traub et al. 2024, eq. 5: AUGRC = (1 − AUROC) · acc · (1 − acc) + ½ (1 − acc)²."""
    _, sure, right = labels(decimals=decimals)
    accuracy = right.mean()
    closed = (1 - metrics.roc_auc_score(right, sure)) * accuracy * (1 - accuracy) + 0.5 * (1 - accuracy) ** 2
    assert calibration.risk_coverage(sure, right).augrc == pytest.approx(closed, abs=1e-9)


def test_risk_coverage_by_hand() -> None:
    """Kept in the order .9 right, .5 wrong, .1 right: risks 0, 1/2, 1/3; AURC their mean, 5/18."""
    curve = calibration.risk_coverage([0.1, 0.9, 0.5], [True, True, False])
    assert curve.coverage == pytest.approx([1 / 3, 2 / 3, 1])
    assert curve.risk == pytest.approx([0, 1 / 2, 1 / 3])
    assert curve.aurc == pytest.approx(5 / 18)


def test_risk_coverage_of_ties_is_the_mean_over_their_orders() -> None:
    """One right and one wrong label of equal confidence: risk at one kept is 1/2 whichever comes first."""
    for right in ([True, False], [False, True]):
        curve = calibration.risk_coverage([0.4, 0.4], right)
        assert curve.aurc == pytest.approx(0.5)
        assert curve.coverage.tolist() == [1.0]


def test_ece_by_hand() -> None:
    """Two bins: p .55 with accuracy ½ and p .95 with accuracy 1, so (.05 + .05)/2."""
    assert calibration.ece([0.1, 0.1, 0.9, 0.9], [True, False, True, True], bins=2) == pytest.approx(0.05)


@pytest.mark.parametrize(("pairs", "expected"), [(200, 0.097), (500, 0.063), (2000, 0.031)])
def test_null_value_of_ece_is_what_calibrated_annotators_show(pairs: int, expected: float) -> None:
    """The null from one set of confidences against fresh calibrated annotators, and against published figures."""
    rng = np.random.default_rng(1)
    sure = rng.uniform(0, 1, pairs)
    null = calibration.ece_null(sure, draws=400)
    seen = [calibration.ece(sure, rng.random(pairs) < (1 + sure) / 2) for _ in range(400)]
    assert null.mean == pytest.approx(np.mean(seen), rel=0.05)
    assert null.high == pytest.approx(np.quantile(seen, 0.95), rel=0.07)
    assert null.mean == pytest.approx(expected, rel=0.2)


def test_an_overconfident_annotator_is_above_its_null() -> None:
    _, sure, right = labels(2000)
    assert calibration.ece(sure, right) < calibration.ece_null(sure, draws=300).high
    too_sure = calibration.confidence(3 * np.arctanh(np.minimum(sure, 0.999)))
    assert calibration.ece(too_sure, right) > calibration.ece_null(too_sure, draws=300).high


def test_the_null_of_ece_draws_whole_prompts_by_hand() -> None:
    """Two pairs of p = ¾ in one bin. Together: both right (¾) is ¼ off, both wrong (¼) ¾: on average 3/8. Apart: none
    wrong 9/16 and one 6/16 are ¼ off, both 1/16 ¾: 9/32."""
    sure = np.array([0.5, 0.5])
    one, two = (calibration.ece_null(sure, [0, 0], together=t, bins=1, draws=40_000).mean for t in (1.0, 0.0))
    assert one == pytest.approx(3 / 8, abs=0.005)
    assert two == pytest.approx(9 / 32, abs=0.005)
    apart = calibration.ece_null(sure, [0, 1], together=1.0, bins=1, draws=40_000).mean
    assert apart == pytest.approx(9 / 32, abs=0.005)


def test_copies_are_wholly_together_and_strangers_are_not() -> None:
    """Of copies every product of right − p is a square, whose mean is p − p²."""
    _, sure, right = labels(3000)
    assert calibration.togetherness(np.tile(sure, 2), np.tile(right, 2), np.tile(np.arange(3000), 2)) == pytest.approx(
        1.0, abs=0.05
    )
    assert calibration.togetherness(sure, right, np.arange(3000) // 3) < 0.05
    assert calibration.togetherness(sure, right, np.arange(3000)) == 0.0


@pytest.mark.parametrize("together", [0.0, 0.6, 1.0])
def test_a_calibrated_annotator_is_below_the_null_19_times_in_20_with_many_pairs_a_prompt(together: float) -> None:
    """40 prompts of one to six pairs whose labels are right together; TABLES in the environment draws more."""
    tables = int(os.environ.get("TABLES", "150"))
    rng = np.random.default_rng(5)
    above = {"prompts": 0, "pairs": 0}
    for _ in range(tables):
        prompts = np.repeat(np.arange(40), rng.integers(1, 7, 40))
        sure = calibration.confidence(rng.exponential(1.2, prompts.size))
        common, joined = rng.random(40)[prompts], (rng.random(40) < together)[prompts]
        right = np.where(joined, common, rng.random(prompts.size)) < (1 + sure) / 2
        found, told = calibration.ece(sure, right), calibration.togetherness(sure, right, prompts)
        above["prompts"] += found > calibration.ece_null(sure, prompts, together=told, draws=200).high
        above["pairs"] += found > calibration.ece_null(sure, draws=200).high
    allowed = 0.05 + 3 * (0.05 * 0.95 / tables) ** 0.5  # three standard errors above 1 in 20
    assert above["prompts"] / tables <= allowed
    if together == 1.0:
        assert above["pairs"] / tables > allowed


def test_bins_are_equal_in_mass_with_wilson_bars() -> None:
    _, sure, right = labels(1003)
    bins = calibration.equal_mass_bins(sure, right)
    assert [one.n for one in bins] == [101] * 3 + [100] * 7
    assert all(left.hi <= after.lo for left, after in itertools.pairwise(bins))
    first = bins[0]
    wanted = proportion_confint(round(first.accuracy * first.n), first.n, method="wilson")
    assert (first.ci_low, first.ci_high) == pytest.approx(wanted, abs=1e-9)
    assert sum(one.n * one.accuracy for one in bins) == pytest.approx(right.sum())


@pytest.mark.parametrize("bins", [10, 20])
def test_bins_equal_the_quantile_curve_of_scikit_learn(bins: int) -> None:
    _, sure, right = labels(400)
    found = calibration.equal_mass_bins(sure, right, bins=bins)
    accuracy, stated = calibration_curve(right, (1 + sure) / 2, n_bins=bins, strategy="quantile")
    assert [one.accuracy for one in found] == pytest.approx(accuracy, abs=1e-9)
    assert [one.stated for one in found] == pytest.approx(stated, abs=1e-9)
    weighted = np.abs(accuracy - stated) @ np.array([one.n for one in found]) / 400
    assert calibration.ece(sure, right, bins=bins) == pytest.approx(weighted, abs=1e-9)


def test_accuracy_of_single_pairs_is_wilson() -> None:
    _, _, right = labels(300)
    wanted = proportion_confint(int(right.sum()), 300, method="wilson")
    for clusters in (None, np.arange(300)):
        found = calibration.accuracy(right, clusters)
        assert found.estimate == pytest.approx(right.mean())
        assert (found.low, found.high) == pytest.approx(wanted, rel=1e-9)


def test_pairs_of_one_prompt_that_agree_count_once() -> None:
    """Each prompt three times with one outcome: a design effect of 3 · 50/49 · 149/150 makes 150 to 49 · 150/149."""
    right = np.array([True] * 30 + [False] * 20)
    effective = 49 * 150 / 149
    found = calibration.accuracy(np.repeat(right, 3), np.repeat(np.arange(50), 3))
    assert (found.low, found.high) == pytest.approx(
        proportion_confint(0.6 * effective, effective, method="wilson"), abs=1e-9
    )
    assert calibration.accuracy([True] * 9, [1, 1, 1, 2, 2, 2, 3, 3, 3]).high == 1


def test_interval_over_prompts_covers_what_it_says() -> None:
    """Prompts of 1 to 6 pairs that share their chance to be right: 95 % of the intervals hold the mean, .65."""
    rng = np.random.default_rng(0)
    hits = [0, 0]
    for _ in range(400):
        sizes = rng.integers(1, 7, 150)
        chance = np.repeat(rng.choice([0.35, 0.95], 150), sizes)
        right, prompts = rng.random(chance.size) < chance, np.repeat(np.arange(150), sizes)
        for place, found in enumerate((calibration.accuracy(right, prompts), calibration.mean(right, prompts))):
            hits[place] += found.low <= 0.65 <= found.high
    assert all(0.92 <= one / 400 <= 0.98 for one in hits)


def test_one_prompt_alone_says_nothing_of_others() -> None:
    """Four pairs of one prompt count as one; the mean of such values can be anything that they can be."""
    found = calibration.mean([1.0, 0.0, 1.0, 0.5], [7, 7, 7, 7], bounds=(0.0, 1.0))
    assert (found.estimate, found.low, found.high) == (0.625, 0.0, 1.0)
    for right in ([True, False, True, True], [True] * 4):
        judged = calibration.accuracy(right, [7] * 4)
        assert (judged.low, judged.high) == pytest.approx(
            proportion_confint(np.mean(right), 1, method="wilson"), abs=1e-9
        )


def test_mean_of_single_values_is_the_usual_one() -> None:
    found = calibration.mean([0.0, 1.0, 2.0, 3.0])
    half = 1.959964 * np.std([0, 1, 2, 3], ddof=1) / 2
    assert (found.estimate, found.low, found.high) == pytest.approx((1.5, 1.5 - half, 1.5 + half), abs=1e-6)


def test_fewer_pairs_than_bins_gives_a_bin_for_each() -> None:
    assert [one.n for one in calibration.equal_mass_bins([0.2, 0.1, 0.3], [True, False, True])] == [1, 1, 1]


def test_deciles_hold_humans_and_truth() -> None:
    _, sure, right = labels(50)
    rows = calibration.deciles(sure, right, ~right)
    assert len(rows) == 10
    assert all(row["agree_truth"] == pytest.approx(1 - row["agree_human"]) for row in rows)
    assert {row["agree_truth"] for row in calibration.deciles(sure, right)} == {None}


def test_histogram_counts_every_pair_once() -> None:
    sure = [0.0, 0.019, 0.02, 0.5, 1.0]
    found = calibration.histogram(sure, [True, False, True, True, False])
    assert (len(found.counts), len(found.edges)) == (50, 51)
    assert (found.counts[0], found.counts[1], found.counts[25], found.counts[49]) == (2, 1, 1, 1)
    assert found.agree_counts is not None
    assert (sum(found.counts), sum(found.agree_counts)) == (5, 3)
    assert calibration.histogram(sure).agree_counts is None


def test_temperature_equals_logistic_regression_without_intercept() -> None:
    """σ(Δ/T) is a logistic regression of right on the signed margin: its slope is 1/T."""
    rng = np.random.default_rng(3)
    margins = rng.exponential(2.0, 3000)
    right = rng.random(3000) < special.expit(margins / 2.5)
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
    mirrored = np.r_[margins, -margins][:, None]
    model.fit(mirrored, np.r_[right, ~right])
    assert calibration.fit_temperature(margins, right) == pytest.approx(1 / model.coef_[0, 0], rel=1e-5)
    assert calibration.fit_temperature(margins, right) == pytest.approx(2.5, rel=0.15)


def test_temperature_of_an_annotator_that_is_mostly_wrong_stops_at_its_limit() -> None:
    found = calibration.fit_temperature([1.0, 2.0, 3.0], [False, False, True])
    assert 100 < found <= calibration.MOST_TEMPERATURE * (1 + 1e-6)


def test_effective_sample_size() -> None:
    assert calibration.effective_sample_size([0.5] * 40) == pytest.approx(40)
    assert calibration.effective_sample_size([1, 1, 0, 0]) == pytest.approx(2)
    assert calibration.effective_sample_size([0, 0]) == 0


def test_nothing_to_judge_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        calibration.ece([], [])
