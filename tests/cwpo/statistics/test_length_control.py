"""GRA at equal length: where length explains nothing, everything, and against a reference implementation."""

import numpy as np
import pytest
import statsmodels.api as sm

from cwpo.statistics.intervals import crossed
from cwpo.statistics.length_control import length_controlled


def table(
    seeds: int, prompts: int, *, at_equal: float, slope: float, shift: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes whose logit is linear in tanh(d / s), and d itself."""
    rng = np.random.default_rng(seed)
    longer = rng.normal(shift, 10, (seeds, prompts))
    scale = np.sqrt((longer**2).mean())
    logit = np.log(at_equal / (1 - at_equal)) + slope * np.tanh(longer / scale)
    return (rng.random((seeds, prompts)) < 1 / (1 + np.exp(-logit))).astype(float), longer


def test_where_length_explains_nothing_it_is_gra() -> None:
    """Every length difference occurs with the same outcomes: the slope is 0, σ(a) is the mean."""
    won = np.array([[1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0]], dtype=float)
    longer = np.repeat([-3.0, 3.0, -1.0, 1.0], 3)[None]
    assert length_controlled(won, longer).estimate == pytest.approx(2 / 3, abs=1e-9)


def test_without_any_length_difference_it_is_gra_with_its_interval() -> None:
    won = (np.random.default_rng(0).random((4, 200)) < 0.6).astype(float)
    found, plain = length_controlled(won, np.zeros((4, 200))), crossed(won)
    assert (found.estimate, found.low, found.high) == pytest.approx((plain.estimate, plain.low, plain.high))


def test_where_length_explains_everything_nothing_is_left() -> None:
    """Who wins depends on length alone, and most answers are longer: GRA far above ½, at equal length a coin."""
    won, longer = table(4, 2000, at_equal=0.5, slope=4.0, shift=12)
    found = length_controlled(won, longer)
    assert won.mean() > 0.8
    assert found.low < 0.5 < found.high
    assert found.estimate == pytest.approx(0.5, abs=0.03)


def test_where_the_longer_answer_always_wins_the_prior_keeps_it_finite() -> None:
    """80 of 100 answers are longer: the interval reaches ½, and never claims more than GRA."""
    longer = np.concatenate([np.linspace(1, 20, 80), -np.linspace(1, 20, 20)])[None]
    found = length_controlled((longer > 0).astype(float), longer)
    assert found.low < 0.5 < found.estimate < 0.7


def test_a_gain_that_is_partly_length_is_taken_apart() -> None:
    won, longer = table(4, 4000, at_equal=0.55, slope=1.5, shift=8)
    found = length_controlled(won, longer)
    assert won.mean() > 0.65
    assert found.low < 0.55 < found.high
    assert found.estimate == pytest.approx(0.55, abs=0.03)


def test_one_seed_equals_a_logistic_regression_with_sandwich_variance() -> None:
    """statsmodels' GLM has no prior: with 20,000 prompts ours does not show."""
    won, longer = table(1, 20_000, at_equal=0.6, slope=0.8, shift=4)
    lengths = np.tanh(longer[0] / np.sqrt((longer**2).mean()))
    fit = sm.GLM(won[0], sm.add_constant(lengths), family=sm.families.Binomial()).fit(cov_type="HC0")
    at_zero = 1 / (1 + np.exp(-fit.params[0]))
    found = length_controlled(won, longer)
    assert found.estimate == pytest.approx(at_zero, abs=1e-5)
    assert found.se == pytest.approx(fit.bse[0] * at_zero * (1 - at_zero), rel=1e-3)


def test_its_interval_covers_as_often_as_it_says() -> None:
    """300 tables of 3 seeds: 95 % ± 3 standard errors of the simulation."""
    hits = 0
    for seed in range(300):
        won, longer = table(3, 200, at_equal=0.55, slope=1.0, shift=5, seed=seed)
        found = length_controlled(won, longer)
        hits += found.low <= 0.55 <= found.high
    assert 0.91 <= hits / 300 <= 0.985


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_seed_without_losses_or_wins_has_nothing_to_control(value: float) -> None:
    assert length_controlled(np.full((1, 50), value), np.arange(50.0)[None]).estimate == value


def test_a_missing_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="every seed and prompt"):
        length_controlled([[1.0, np.nan]], [[1.0, 2.0]])
