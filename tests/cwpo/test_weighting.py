"""Confidence is tanh(margin / 2); top N % keeps the largest margins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwpo.catalog import WEIGHTINGS as ROWS
from cwpo.weighting import WEIGHTINGS, keep_probabilities, systematic_sample, weigh

MARGINS = np.array([0.3, 0.0, 2.0, 1.0, 2.0, 0.1, 0.5, 0.2, 0.4, 3.0])


@given(st.lists(st.floats(0, 50), min_size=1, max_size=20))
def test_confidence_is_twice_sigmoid_minus_one_monotone_and_in_the_unit_interval(margins):
    margins = np.sort(np.array(margins))
    confidence = weigh({"name": "confidence"}, margins).w
    assert np.allclose(confidence, 2 / (1 + np.exp(-margins)) - 1, atol=1e-15)
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert (np.diff(confidence) >= 0).all()


def test_a_tie_has_no_confidence():
    assert weigh({"name": "confidence"}, np.zeros(1)).w[0] == 0.0


def test_top_keeps_the_largest_margins_in_stored_order():
    """30 % of 10 = 3: margins 3.0, 2.0 and 2.0."""
    weights = weigh({"name": "top", "percent": 30}, MARGINS)
    assert weights.kept.tolist() == [2, 4, 9]
    assert weights.w.tolist() == [1.0, 1.0, 1.0]
    assert weigh({"name": "top", "percent": 1}, MARGINS).kept.tolist() == [9]


def test_uniform_needs_no_margin_and_confidence_weighs_all():
    assert weigh({"name": "uniform", "percent": None}, np.full(3, np.nan)).w.tolist() == [1.0, 1.0, 1.0]
    weights = weigh({"name": "confidence", "percent": None}, MARGINS)
    assert np.array_equal(weights.w, np.tanh(MARGINS / 2))
    assert not weights.w_swapped.any()


def test_catalog_and_functions_name_the_same_weightings():
    assert set(WEIGHTINGS) == set(ROWS)
    with pytest.raises(KeyError, match="uniform, confidence, top"):
        weigh({"name": "entropy"}, MARGINS)


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
