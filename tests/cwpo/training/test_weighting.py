"""Confidence is tanh(margin / 2); top N % keeps the largest margins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from cwpo.config.catalog import WEIGHTINGS as ROWS
from cwpo.training.weighting import WEIGHTINGS, keep_probabilities, systematic_sample, weigh
from tests.cwpo.stage import weighting

MARGINS = np.array([0.3, 0.0, 2.0, 1.0, 2.0, 0.1, 0.5, 0.2, 0.4, 3.0])


@given(st.lists(st.floats(0, 50), min_size=1, max_size=20))
def test_confidence_is_twice_sigmoid_minus_one_monotone_and_in_the_unit_interval(margins):
    margins = np.sort(np.array(margins))
    confidence = weigh(weighting("confidence"), margins).w
    assert np.allclose(confidence, 2 / (1 + np.exp(-margins)) - 1, atol=1e-15)
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert (np.diff(confidence) >= 0).all()


def test_a_tie_has_no_confidence():
    assert weigh(weighting("confidence"), np.zeros(1)).w[0] == 0.0


def test_top_keeps_the_largest_margins_in_stored_order():
    """30 % of 10 = 3: margins 3.0, 2.0 and 2.0."""
    weights = weigh(weighting("top", percent=30), MARGINS)
    assert weights.kept.tolist() == [2, 4, 9]
    assert weights.w.tolist() == [1.0, 1.0, 1.0]
    assert weigh(weighting("top", percent=1), MARGINS).kept.tolist() == [9]


def test_uniform_needs_no_margin_and_confidence_weighs_all():
    assert weigh(weighting("uniform", percent=None), np.full(3, np.nan)).w.tolist() == [1.0, 1.0, 1.0]
    weights = weigh(weighting("confidence", percent=None), MARGINS)
    assert np.array_equal(weights.w, np.tanh(MARGINS / 2))
    assert not weights.w_swapped.any()


def test_weightings_of_table_5_by_hand():
    """Margins 0, 0.5 and 4: sigma .5, .622459, .982014; min(m, 1) 0, .5, 1; min(.2 m, 1) 0, .1, .8."""
    margins = np.array([0.0, 0.5, 4.0])
    assert weigh(weighting("sigma"), margins).w == pytest.approx([0.5, 0.622459, 0.982014], abs=1e-6)
    assert weigh(weighting("clipped", slope=1.0), margins).w == pytest.approx([0.0, 0.5, 1.0])
    assert weigh(weighting("clipped", slope=0.2), margins).w == pytest.approx([0.0, 0.1, 0.8])


def test_power_temperature_and_threshold_by_hand():
    """C of 2 atanh(c) is c: .2, .6, .9. Squares; halved margins at T = 2; C >= .5 keeps two, the surest stays."""
    margins = 2 * np.arctanh([0.2, 0.6, 0.9])
    assert weigh(weighting("power", gamma=2.0), margins).w == pytest.approx([0.04, 0.36, 0.81])
    assert weigh(weighting("temperature", temperature=2.0), margins).w == pytest.approx(np.tanh(margins / 4))
    assert weigh(weighting("temperature", temperature=1.0), margins).w == pytest.approx([0.2, 0.6, 0.9])
    assert weigh(weighting("threshold", threshold=0.5), margins).kept.tolist() == [1, 2]
    assert weigh(weighting("threshold", threshold=0.99), margins).kept.tolist() == [2]


def test_uncertainty_is_confidence_where_annotators_agree_and_less_where_they_do_not():
    """s^2 = 24 / pi makes the divisor sqrt(1 + 3) = 2."""
    spread = np.array([0.0, np.sqrt(24 / np.pi)])
    weights = weigh(weighting("uncertainty"), np.array([2.0, 2.0]), spread=spread)
    assert weights.w == pytest.approx([np.tanh(1.0), np.tanh(0.5)])


def test_soft_labels_count_each_pair_both_ways():
    """p = sigma(log 3) = 3/4; the two weights add up to 1."""
    weights = weigh(weighting("soft"), np.array([0.0, np.log(3)]))
    assert weights.w == pytest.approx([0.5, 0.75])
    assert weights.w_swapped == pytest.approx([0.5, 0.25])


def test_rdpo_per_pair_times_c_counts_the_other_way_round_against_a_pair():
    """p = 1/2 and 3/4: w is p, w_swapped p - 1, and together they are C."""
    weights = weigh(weighting("unbiased"), np.array([0.0, np.log(3)]))
    assert weights.w == pytest.approx([0.5, 0.75])
    assert weights.w_swapped == pytest.approx([-0.5, -0.25])
    assert weights.w + weights.w_swapped == pytest.approx([0.0, 0.5])


def test_over_flips_at_the_pair_s_rate_the_mean_of_rdpo_per_pair_is_the_clean_loss_times_c():
    """Natarajan et al., Lemma 1: (1 - e) [p l(a) - (1 - p) l(b)] + e [p l(b) - (1 - p) l(a)] = C l(a), e = 1 - p."""
    weights, first, second = weigh(weighting("unbiased"), MARGINS), 0.7, 1.9
    p = weights.w
    kept, flipped = (w * p + other * weights.w_swapped for w, other in ((first, second), (second, first)))
    assert p * kept + (1 - p) * flipped == pytest.approx(np.tanh(MARGINS / 2) * first)


def test_a_committee_keeps_what_all_of_its_members_say():
    """Three of three, two of three, three of three; where nobody agrees, what most agree on."""
    weights = weigh(weighting("committee"), np.ones(3), agreement=np.array([1.0, 2 / 3, 1.0]))
    assert weights.kept.tolist() == [0, 2]
    assert weights.w.tolist() == [1.0, 1.0]
    assert weigh(weighting("committee"), np.ones(3), agreement=np.array([0.5, 0.75, 0.75])).kept.tolist() == [1, 2]


def test_madpo_lifts_close_pairs_and_is_one_where_a_pair_is_as_clear_as_its_centre():
    """c is 1 at logit(.999) and 1/2 far behind it. Margin 1: c = 1/2 + 1.5 / (1 + 2e / 999) = 1.991882."""
    centre = np.log(999)
    weights = weigh(weighting("madpo"), np.array([0.0, 1.0, centre, 2 * centre])).w
    c = 0.5 + 1.5 / (1 + 2 * np.e / 999)
    assert weights[:3] == pytest.approx([1.0, (1 + np.exp(-1)) / (1 + np.exp(-c)), 1.0])
    assert weights[3] == pytest.approx(special.expit(centre * 1.0015) / special.expit(2 * centre), rel=1e-4)
    assert (weigh(weighting("madpo"), np.linspace(0.01, 6.8, 50)).w > 1).all()


def test_what_the_sandbox_knows_chooses_right_labels_and_true_gaps() -> None:
    """Labels 1, 3 and 4 of five are right. Gaps 2, 0, 1, 3, 1: the largest two are those of 3 and 0, whatever the
    margins say; of the two gaps of 1 the earlier pair is the third."""
    margins, right = np.array([0.1, 5.0, 3.0, 0.2, 1.0]), np.array([0.0, 1.0, np.nan, 1.0, 1.0])
    gap = np.array([2.0, 0.0, 1.0, 3.0, 1.0])
    found = weigh(weighting("correct"), margins, right=right, gap=gap)
    assert (found.kept.tolist(), found.w.tolist()) == ([1, 3, 4], [1.0, 1.0, 1.0])
    assert weigh(weighting("top_true", percent=40), margins, right=right, gap=gap).kept.tolist() == [0, 3]
    assert weigh(weighting("top_true", percent=60), margins, right=right, gap=gap).kept.tolist() == [0, 2, 3]
    assert weigh(weighting("top", percent=40), margins).kept.tolist() == [1, 2]


IDS = [f"pair-{number}" for number in range(10)]


def test_controls_keep_what_they_control_for():
    """Shuffled: the same weights on other pairs. Normalised: mean 1, same proportions. Bottom: the smallest margins."""
    sure = np.tanh(MARGINS / 2)
    shuffled = weigh(weighting("shuffled", seed=3), MARGINS, ids=IDS).w
    assert sorted(shuffled) == sorted(sure)
    assert not np.array_equal(shuffled, sure)
    normalised = weigh(weighting("normalised"), MARGINS).w
    assert normalised.mean() == pytest.approx(1.0)
    assert normalised == pytest.approx(sure / sure.mean())
    assert weigh(weighting("normalised"), np.zeros(3)).w.tolist() == [0.0, 0.0, 0.0]
    assert weigh(weighting("bottom", percent=30), MARGINS).kept.tolist() == [1, 5, 7]


def test_chance_belongs_to_the_pair_and_the_seed():
    """The same pairs stay whatever their order; a larger share holds the smaller one; another seed draws others."""

    def kept(ids: list[str], percent: float, seed: int = 0) -> set[str]:
        weights = weigh(weighting("random", percent=percent, seed=seed), np.zeros(len(ids)), ids=ids)
        return {ids[row] for row in weights.kept}

    assert kept(IDS, 40) == kept(IDS[::-1], 40)
    assert kept(IDS, 20) < kept(IDS, 60)
    assert len(kept(IDS, 30)) == 3
    assert len({frozenset(kept(IDS, 30, seed)) for seed in range(5)}) > 1


def test_catalog_and_functions_name_the_same_weightings():
    assert set(WEIGHTINGS) == set(ROWS)
    with pytest.raises(KeyError, match="uniform, confidence, top"):
        weigh(weighting("entropy"), MARGINS)


def test_pairs_are_computed_in_proportion_to_weight_and_root_of_answer_share():
    """Worth .2 · 1/2, .4 · 1/2, .4 · 1/4: half as often, always, half as often; no weight, never."""
    w = np.array([0.2, 0.4, 0.4, 0.0])
    kept = keep_probabilities(w, np.array([10.0, 10.0, 10.0, 10.0]), np.array([40.0, 40.0, 160.0, 40.0]))
    assert np.allclose(kept, [0.5, 1.0, 0.5, 0.0])
    assert (keep_probabilities(np.zeros(3), np.ones(3), np.ones(3)) == 1.0).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0, 1, exclude_max=True))
def test_a_sample_has_as_many_pairs_as_their_probabilities_add_up_to(probabilities, start):
    kept = systematic_sample(np.array(probabilities), start)
    assert abs(len(kept) - sum(probabilities)) < 1 + 1e-9
    assert len(set(kept.tolist())) == len(kept)


def test_every_pair_is_sampled_with_its_own_probability():
    """Over an even comb of starts the frequencies are exact to the comb's spacing."""
    probabilities = np.array([0.1, 0.9, 0.35, 1.0, 0.0, 0.65])
    counts = np.zeros(6)
    for start in np.arange(1000) / 1000:
        counts[systematic_sample(probabilities, start)] += 1
    assert np.allclose(counts / 1000, probabilities, atol=2e-3)
