"""What few seeds say of their spread: against numerical integration, and against plain t where seeds are many."""

import numpy as np
import pytest
from scipy import integrate, stats

from cwpo.statistics.seed_spread import Design, Errors, detectable, errors, stated


def law(
    squares: float, df: float, *, noise: float = 0.0002, rest: float = 0.0004, seeds: int = 3, prompts: int = 10**6
) -> Errors:
    return errors(squares, df, noise=noise, rest=rest, rest_df=prompts - 1, seeds=seeds)


@pytest.mark.parametrize(("seeds", "sd"), [(2, 0.01), (3, 0.03), (8, 0.06)])
def test_the_chance_of_an_error_is_the_integral_over_what_the_spread_may_be(seeds: int, sd: float) -> None:
    """Half-t prior of scale 8 points with 4 degrees of freedom × χ² likelihood of (τ² + noise)."""
    df, noise, rest = seeds - 1, 0.0002, 0.0004
    squares = df * sd**2

    def weight(tau: float) -> float:
        variance = tau**2 + noise
        return float(stats.t.pdf(tau / 0.08, 4) * variance ** (-df / 2) * np.exp(-squares / (2 * variance)))

    def both(tau: float) -> float:
        return weight(tau) * 2 * float(stats.norm.sf(0.07 / np.sqrt(rest + tau**2 / seeds)))

    total, off = (integrate.quad(f, 0, 0.5, limit=200, epsabs=1e-12)[0] for f in (weight, both))
    found = law(squares, df, seeds=seeds)
    assert found.beyond([0.07])[0] == pytest.approx(off / total, rel=0.01)
    half = found.half_widths()
    assert found.beyond(half)[0] == pytest.approx(0.05, abs=1e-6)


def test_many_seeds_leave_the_plain_interval() -> None:
    """400 seeds with an SD of 4 points: ±1.966 √(rest + .04² / 400), of which the noise is a part."""
    found = law(399 * (0.04**2 + 0.0002), 399, seeds=400, rest=1e-9)
    assert found.half_widths()[0] == pytest.approx(stats.t.isf(0.025, 399) * 0.04 / 20, rel=0.02)


def test_one_seed_says_nothing_of_another_and_its_interval_is_that_of_its_prompts() -> None:
    found = errors(0.0, 0.0, noise=0.0, rest=0.02**2, rest_df=24, seeds=1)
    assert found.half_widths()[0] == pytest.approx(stats.t.isf(0.025, 24) * 0.02, rel=1e-4)
    assert found.beyond([0.05])[0] == pytest.approx(2 * stats.t.sf(2.5, 24), rel=1e-3)


def test_a_wider_spread_of_seeds_never_narrows_the_interval() -> None:
    halves = [law(2 * sd**2, 2).half_widths()[0] for sd in np.linspace(0, 0.1, 30)]
    assert (np.diff(halves) > 0).all()


def test_the_next_seed_lies_further_away_than_the_mean() -> None:
    """With the spread known from 400 seeds: ±1.96 √(rest + .03² / 400 + .03²)."""
    found = law(399 * (0.03**2 + 1e-6), 399, seeds=400, noise=1e-6, rest=0.0001).of_one_more()
    assert found.half_widths()[0] == pytest.approx(1.96 * np.sqrt(0.0001 + 0.03**2 * 401 / 400), rel=0.02)


NOISE, REST = 0.0004, 0.0005


def design_of(seeds: int, count: int = 1) -> Design:
    """Of outcomes whose variance does not depend on their mean."""
    return Design(
        noise=np.full(count, NOISE), rest=np.full(count, REST), least=np.zeros(count), rest_df=np.full(count, 1e6),
        seeds=np.full(count, float(seeds)), df=np.full(count, max(seeds - 1.0, 0.0)), factor=1.0, variance=np.ones_like,
    )  # fmt: skip


def tables_of(seeds: int, sd: float, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of squares, half-widths and errors of means, drawn from the model itself."""
    rng, df = np.random.default_rng(0), max(seeds - 1, 0)
    squares = (sd**2 + NOISE) * (rng.chisquare(df, count) if df else np.zeros(count))
    law = errors(squares, np.full(count, df), noise=np.full(count, NOISE), rest=np.full(count, REST),
                 rest_df=np.full(count, 1e6), seeds=np.full(count, seeds))  # fmt: skip
    return squares, law.half_widths(), rng.normal(0, np.sqrt(REST + (sd**2 / seeds if df else 0.0)), count)


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
def test_what_is_detectable_is_found_four_times_in_five(seeds: int) -> None:
    """Where the spread between seeds is known: 4,000 tables."""
    (effect,) = detectable(design_of(seeds), np.array([0.03]))
    _, halves, error = tables_of(seeds, 0.03, 4000)
    assert (error + effect > halves).mean() == pytest.approx(0.80, abs=0.025)


@pytest.mark.parametrize("seeds", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("sd", [0.0, 0.03, 0.06])
def test_what_tables_state_is_on_average_what_four_of_five_of_them_find(seeds: int, sd: float) -> None:
    """None of them knows how far seeds move it. Held too: each to its own statement, the truth being that."""
    squares, halves, error = tables_of(seeds, sd, 1500)
    said = stated(design_of(seeds, 1500), halves, np.zeros(1500), squares)
    assert (said > halves).all()
    assert 0.75 < (error + said.mean() > halves).mean() < 0.85
    assert 0.75 < (error + said > halves).mean() < 0.87
